/** What changes, as it changes: one stream for all tabs, handed to the queries in batches. */
import type { QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { RunDetail, Timeline, TimelineStep } from "../api/client";
import type { components } from "../api/schema";
import type { Connection, FromTab } from "./stream.worker";

type Schemas = components["schemas"];
/** An event about something; `hello` and `reset` are about the stream itself. */
export type LiveEvent = Exclude<Schemas["EventOut"], Schemas["HelloEvent"] | Schemas["StreamReset"]>;
interface Message {
  state: Connection;
  kind?: string;
  data?: LiveEvent;
}
export interface Live {
  state: Connection;
  /** Since when it is as it is. */
  since: number;
}
const BATCH = 250; // milliseconds: one rendering for many events
const EVERY = 2_000; // the overview and lists are read again at most this often
const SETTLE = 5_000;
const listeners = new Set<(events: LiveEvent[]) => void>();
const watchers = new Set<() => void>();
const watched = new Map<string, number>();
let live: Live = { state: "connecting", since: Date.now() };
let port: MessagePort | undefined;
let batch: LiveEvent[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

const send = (message: FromTab) => port?.postMessage(message);

/** The way to the worker that reads the stream: the one of all tabs, or one of our own where a browser has no shared ones. */
function connected(): MessagePort {
  if (typeof SharedWorker !== "undefined")
    return new SharedWorker(new URL("./stream.worker.ts", import.meta.url), {
      type: "module",
      name: "agentgrid-stream",
    }).port;
  const { port1, port2 } = new MessageChannel();
  new Worker(new URL("./stream.worker.ts", import.meta.url), { type: "module" }).postMessage(null, [port2]);
  return port1;
}
export function start(queries: QueryClient) {
  if (port) return;
  port = connected();
  port.onmessage = ({ data: message }: MessageEvent<Message>) => {
    if (message.state !== live.state) become(message.state, queries);
    if (message.kind === "reset") void queries.invalidateQueries();
    else if (message.data?.kind) take(queries, message.data);
  };
  port.start();
  send({ watch: [...watched.keys()] });
  const lock = `agentgrid-tab-${crypto.randomUUID()}`;
  void navigator.locks.request(lock, () => {
    send({ lock });
    return new Promise(() => {}); // held until the tab is gone
  });
}
function become(state: Connection, queries: QueryClient) {
  // What happened while the stream was away comes with it; what isn't in the stream is read again.
  if (state === "live" && live.state !== "connecting") void queries.invalidateQueries();
  live = { state, since: Date.now() };
  watchers.forEach((w) => w());
  if (state === "signed-out") location.assign("/sign-in?ended=1");
}
function take(queries: QueryClient, event: LiveEvent) {
  batch.push(event);
  timer ??= setTimeout(() => {
    const now = batch;
    batch = [];
    timer = undefined;
    refresh(queries, now);
    listeners.forEach((l) => l(now));
  }, BATCH);
}
const due = new Map<string, ReturnType<typeof setTimeout>>();
/** Mark as old, at most once in `EVERY`; the last change is never missed. */
export function later(queries: QueryClient, queryKey: string[], exact = false, every = EVERY) {
  const name = `${queryKey.join("/")}/${exact}`;
  if (due.has(name)) return;
  due.set(
    name,
    setTimeout(() => {
      due.delete(name);
      void queries.invalidateQueries({ queryKey, exact });
    }, every),
  );
}
type Address = Pick<TimelineStep, "execution_id" | "event_id">;
const same = (a: Address, b: Address) => a.execution_id === b.execution_id && a.event_id === b.event_id;
/** A step of an event as the timeline has it: what the event doesn’t know stays as it was. */
function merged(old: TimelineStep | undefined, step: Schemas["StepSummary"]): TimelineStep {
  const known = Object.fromEntries(
    Object.entries(step).filter(
      ([key, value]) => value !== null && key !== "attempts" && key !== "title" && key !== "name",
    ),
  );
  const title = old?.title ?? step.title ?? step.name;
  return {
    name: step.name,
    ...old,
    ...known,
    title,
    attempt_count: step.attempts,
    error_type: step.error?.type ?? undefined,
    live_next_retry_at: step.live_next_retry_at ?? undefined,
  } as TimelineStep;
}
/** Steps as they are now, without asking for them: an event holds the whole summary. */
export function withSteps(old: Timeline | undefined, changed: Schemas["StepSummary"][]): Timeline | undefined {
  if (!old) return old;
  const steps = [...old.steps];
  for (const step of changed) {
    const at = steps.findLastIndex((s) => same(s, step));
    if (at >= 0) steps[at] = merged(steps[at], step);
    else steps.push(merged(undefined, step));
  }
  return { ...old, steps };
}
/** A run as it is now: an event holds its whole row. What only the page of the run has stays as it was. */
const withRow = (old: RunDetail | undefined, row: Schemas["RunSummary"]): RunDetail | undefined =>
  old && { ...old, ...row };
/** Whether the row says that what it doesn’t hold has changed too: the actions, the approvals, the chain. */
const TURNS = ["status", "waiting_on", "hold", "approvals_pending"] as const;
export const turned = (old: RunDetail, row: Schemas["RunSummary"]) => TURNS.some((field) => old[field] !== row[field]);

function refresh(queries: QueryClient, events: LiveEvent[]) {
  const kinds = new Set(events.map((e) => e.kind));
  for (const run of watched.keys()) {
    const mine = events.filter((e) => e.run_id === run);
    const steps = mine.filter((e) => e.kind === "step").map((e) => e.data as Schemas["StepSummary"]);
    if (steps.length) {
      queries.setQueryData<Timeline>(["runs", run, "timeline"], (old) => withSteps(old, steps));
      later(queries, ["runs", run, "timeline"], false, SETTLE); // for what events don’t hold: labels, tries, gates
    }
    const row = mine.findLast((e) => e.kind === "run")?.data;
    const old = queries.getQueryData<RunDetail>(["runs", run]);
    if (row) queries.setQueryData<RunDetail>(["runs", run], withRow(old, row));
    const another = steps.some((s) => !old?.executions.some((e) => e.execution_id === s.execution_id));
    if (mine.some((e) => e.kind === "end" || e.kind === "approval") || another || (row && old && turned(old, row)))
      void queries.invalidateQueries({ queryKey: ["runs", run], exact: true });
    else if (row) later(queries, ["runs", run], true, SETTLE); // for the sentence
    if (mine.some((e) => e.kind === "end")) later(queries, ["runs", run, "timeline"]);
  }
  if (kinds.has("run") || kinds.has("end")) {
    later(queries, ["overview"]);
    later(queries, ["runs", "list"]);
    later(queries, ["runs", "counts"]);
    later(queries, ["workflows"]); // how many of each are open
  }
  if (kinds.has("approval")) {
    void queries.invalidateQueries({ queryKey: ["approvals"] });
    later(queries, ["overview"]);
  }
  if (kinds.has("command")) later(queries, ["commands"]);
  if (kinds.has("policy") || kinds.has("catalog"))
    for (const noun of ["tools", "agents", "workflows", "policies", "mcp_servers", "overview"]) later(queries, [noun]);
}
export const useLive = (): Live =>
  useSyncExternalStore(
    (w) => {
      watchers.add(w);
      return () => watchers.delete(w);
    },
    () => live,
  );
/** Hand over what happens, in batches. */
export function useEvents(listener: (events: LiveEvent[]) => void) {
  useEffect(() => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, [listener]);
}
/** Have the steps of a run in the stream while this is shown. */
export function useWatch(run_id: string) {
  useEffect(() => {
    watched.set(run_id, (watched.get(run_id) ?? 0) + 1);
    send({ watch: [...watched.keys()] });
    return () => {
      const n = watched.get(run_id)! - 1;
      if (n) watched.set(run_id, n);
      else watched.delete(run_id);
      send({ watch: [...watched.keys()] });
    };
  }, [run_id]);
}
