/// <reference lib="webworker" />
/** One event stream for all open tabs: a browser allows six HTTP/1.1 connections per host, and a stream holds one.
 *
 * It uses `fetch`, not EventSource, which hides the status (401 looks like 503), gives up for good after one, and can't resume from an
 * id of ours. The runs that tabs watch (`run=`) are requested together: a tab that opens a run restarts the stream from the last id.
 */
/** `refused`: the session is valid, but the API refuses this principal the stream. Pages work, but aren't updated live. */
export type Connection = "connecting" | "live" | "reconnecting" | "refused" | "signed-out";
export interface FromTab {
  watch?: string[];
  /** The name of a lock that the tab holds until it is closed. */
  lock?: string;
}
const SILENCE_TIMEOUT = 25_000; // heartbeats come every 10 s
const PAUSE = 1_500;
const PAUSE_AFTER_END = 500; // the API ends streams cleanly and resumes them
const PAUSE_IF_REFUSED = 30_000;
const MOST_RUNS = 50; // the API's maximum
const RESTART = "again"; // aborted by us: reconnect without a pause
const ports = new Map<MessagePort, string[]>();
let state: Connection = "connecting";
let last = ""; // the newest event id received
let abort: AbortController | undefined;
/** If no run is watched, step events aren't requested: they are nine out of ten events. */
const NO_STEPS =
  "?" + ["run", "end", "approval", "command", "policy", "catalog"].map((kind) => `kinds=${kind}`).join("&");
let watched = NO_STEPS;
let running = false;

const broadcast = (message: unknown) => ports.forEach((_, port) => port.postMessage(message));
function setState(next: Connection) {
  if (next === state) return;
  state = next;
  broadcast({ state });
}
function take(block: string) {
  let kind = "message";
  let data = "";
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue; // a comment: a heartbeat
    const value = line.slice(at + 1).replace(/^ /, "");
    if (line.startsWith("id:")) last = value;
    else if (line.startsWith("event:")) kind = value;
    else if (line.startsWith("data:")) data += data ? `\n${value}` : value;
  }
  if (data) broadcast({ state: "live", kind, data: JSON.parse(data) });
}
/** Sets the state for an error response. Returns the pause in milliseconds before the next attempt, or 0 to stop. */
function refusal(response: Response): number {
  if (response.status === 401) setState("signed-out");
  else setState(response.status < 500 ? "refused" : "reconnecting");
  const pause =
    1000 * Number(response.headers.get("retry-after")) || (state === "refused" ? PAUSE_IF_REFUSED : 2 * PAUSE);
  return state === "signed-out" ? 0 : pause;
}
/** Reads until the stream ends. Returns the pause in milliseconds before the next attempt, or 0 to stop. */
async function read(): Promise<number> {
  const mine = (abort = new AbortController());
  let pause = PAUSE;
  let alarm = setTimeout(() => mine.abort(), SILENCE_TIMEOUT);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last) headers["last-event-id"] = last;
    const response = await fetch(`/api/v1/events${watched}`, { headers, signal: mine.signal, cache: "no-store" });
    if (!response.ok) return refusal(response);
    setState("live");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) {
        pause = PAUSE_AFTER_END;
        break;
      }
      clearTimeout(alarm);
      alarm = setTimeout(() => mine.abort(), SILENCE_TIMEOUT);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop()!;
      blocks.forEach(take);
    }
  } catch {
    if (mine.signal.reason === RESTART) return 1;
  } finally {
    clearTimeout(alarm);
  }
  setState("reconnecting");
  return pause;
}
async function run() {
  if (running) return;
  running = true;
  while (ports.size) {
    const pause = await read();
    if (!pause) break;
    if (pause === 1 || !ports.size) continue;
    await new Promise((done) => setTimeout(done, pause * (0.75 + Math.random() / 2)));
  }
  running = false;
}
function watch() {
  const runs = [...new Set([...ports.values()].flat())].sort().slice(0, MOST_RUNS);
  const next = runs.length ? `?${runs.map((r) => `run=${encodeURIComponent(r)}`).join("&")}` : NO_STEPS;
  if (next === watched) return;
  watched = next;
  abort?.abort(RESTART);
}
function forget(port: MessagePort) {
  ports.delete(port);
  if (ports.size) watch();
  else abort?.abort(RESTART);
}
function connect(port: MessagePort) {
  ports.set(port, []);
  port.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if (data.watch) {
      ports.set(port, data.watch);
      watch();
    }
    // We get the lock once the tab is gone, even if it crashed.
    if (data.lock) void navigator.locks.request(data.lock, () => forget(port));
  };
  port.start();
  if (state === "signed-out") state = "connecting"; // someone has signed in since
  port.postMessage({ state });
  void run();
}
if ("onconnect" in self) self.onconnect = (e: MessageEvent) => connect(e.ports[0]!);
else self.onmessage = (e) => connect(e.ports[0]!); // a dedicated worker, in browsers without shared ones
