/// <reference lib="webworker" />
/** One event stream for all open tabs: a browser allows six HTTP/1.1 connections to a host, and a stream holds one.
 *
 * It is read with `fetch`, not with EventSource, which hides the status (401 looks like 503), gives up for good after one, and can't resume from an
 * id of ours. What the tabs watch (`run=`) is asked for together: a tab that opens a run makes the stream begin again, from the last id.
 */
/** `refused`: the session holds, but the API doesn't give this principal the stream. The pages work, they only don't change by themselves. */
export type Connection = "connecting" | "live" | "reconnecting" | "refused" | "signed-out";
export interface FromTab {
  watch?: string[];
  /** The name of a lock that the tab holds as long as it lives. */
  lock?: string;
}
const SILENCE = 25_000; // heartbeats come every 10 s
const PAUSE = 1_500;
const ENDED = 500; // the API ends streams in good order, and takes them up again
const REFUSED = 30_000;
const MOST_RUNS = 50; // the API takes no more
const AGAIN = "again"; // ended by us: no pause before the next
const ports = new Map<MessagePort, string[]>();
let state: Connection = "connecting";
let last = ""; // the newest id that was seen
let abort: AbortController | undefined;
/** Without a run that is watched, no steps are asked for: they are nine of ten events. */
const NO_STEPS =
  "?" + ["run", "end", "approval", "command", "policy", "catalog"].map((kind) => `kinds=${kind}`).join("&");
let watched = NO_STEPS;
let running = false;

const tell = (message: unknown) => ports.forEach((_, port) => port.postMessage(message));
function become(next: Connection) {
  if (next === state) return;
  state = next;
  tell({ state });
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
  if (data) tell({ state: "live", kind, data: JSON.parse(data) });
}
/** What a refusal means, and the pause before the next attempt; 0 for the end. */
function refusal(answer: Response): number {
  if (answer.status === 401) become("signed-out");
  else become(answer.status < 500 ? "refused" : "reconnecting");
  const pause = 1000 * Number(answer.headers.get("retry-after")) || (state === "refused" ? REFUSED : 2 * PAUSE);
  return state === "signed-out" ? 0 : pause;
}
/** Read until the stream ends. Answers the pause in milliseconds before the next attempt, or 0 for the end. */
async function read(): Promise<number> {
  const mine = (abort = new AbortController());
  let pause = PAUSE;
  let alarm = setTimeout(() => mine.abort(), SILENCE);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last) headers["last-event-id"] = last;
    const answer = await fetch(`/api/v1/events${watched}`, { headers, signal: mine.signal, cache: "no-store" });
    if (!answer.ok) return refusal(answer);
    become("live");
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) {
        pause = ENDED;
        break;
      }
      clearTimeout(alarm);
      alarm = setTimeout(() => mine.abort(), SILENCE);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop()!;
      blocks.forEach(take);
    }
  } catch {
    if (mine.signal.reason === AGAIN) return 1;
  } finally {
    clearTimeout(alarm);
  }
  become("reconnecting");
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
  abort?.abort(AGAIN);
}
function forget(port: MessagePort) {
  ports.delete(port);
  if (ports.size) watch();
  else abort?.abort(AGAIN);
}
function connect(port: MessagePort) {
  ports.set(port, []);
  port.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if (data.watch) {
      ports.set(port, data.watch);
      watch();
    }
    // Given to us when the tab is gone, also when it crashed.
    if (data.lock) void navigator.locks.request(data.lock, () => forget(port));
  };
  port.start();
  if (state === "signed-out") state = "connecting"; // somebody has signed in since
  port.postMessage({ state });
  void run();
}
if ("onconnect" in self) self.onconnect = (e: MessageEvent) => connect(e.ports[0]!);
else self.onmessage = (e) => connect(e.ports[0]!); // a worker of one tab, where a browser has no shared ones
