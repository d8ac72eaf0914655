/// <reference lib="webworker" />
/** One event stream for all open tabs: a browser allows six HTTP/1.1 connections to a host, and a stream holds one.
 *
 * It is read with `fetch`, not with EventSource, which hides the status (401 looks like 503), gives up for good after one, and can't resume from an
 * id of ours. What the tabs watch (`run=`) is asked for together: a tab that opens a run makes the stream begin again, from the last id.
 */
export type Connection = "connecting" | "live" | "reconnecting" | "signed-out";
export interface FromTab {
  watch?: string[];
  bye?: true;
}
const SILENCE = 25_000; // heartbeats come every 10 s
const PAUSE = 1_500;
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
/** Read until the stream ends. Answers the pause in milliseconds before the next attempt, or 0 for the end. */
async function read(): Promise<number> {
  const mine = (abort = new AbortController());
  let alarm = setTimeout(() => mine.abort(), SILENCE);
  try {
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (last) headers["last-event-id"] = last;
    const answer = await fetch(`/api/v1/events${watched}`, { headers, signal: mine.signal, cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) {
      become("signed-out");
      return 0;
    }
    if (!answer.ok || !answer.body) return 1000 * (Number(answer.headers.get("retry-after")) || 3);
    become("live");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return 500;
      clearTimeout(alarm);
      alarm = setTimeout(() => mine.abort(), SILENCE);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop()!;
      blocks.forEach(take);
    }
  } catch {
    return mine.signal.reason === AGAIN ? 1 : PAUSE;
  } finally {
    clearTimeout(alarm);
  }
}
async function run() {
  if (running) return;
  running = true;
  while (ports.size) {
    const pause = await read();
    if (!pause) break;
    if (pause === 1 || !ports.size) continue;
    become("reconnecting");
    await new Promise((done) => setTimeout(done, pause * (0.75 + Math.random() / 2)));
  }
  running = false;
}
function watch() {
  const runs = [...new Set([...ports.values()].flat())].sort();
  const next = runs.length ? `?${runs.map((r) => `run=${encodeURIComponent(r)}`).join("&")}` : NO_STEPS;
  if (next === watched) return;
  watched = next;
  abort?.abort(AGAIN);
}
(self as unknown as SharedWorkerGlobalScope).onconnect = (e) => {
  const port = e.ports[0]!;
  ports.set(port, []);
  port.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if (data.bye) {
      ports.delete(port);
      if (!ports.size) abort?.abort(AGAIN);
    } else if (data.watch) ports.set(port, data.watch);
    watch();
  };
  port.start();
  port.postMessage({ state });
  if (state === "signed-out") state = "connecting";
  void run();
};
