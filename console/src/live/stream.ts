/** Live changes: one stream for all tabs, passed to the queries in batches. */
import type { QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { RunDetail, Timeline, TimelineStep } from "../api/client";
import type { components } from "../api/schema";
import type { Connection, FromTab } from "./stream.worker";

type Schemas = components["schemas"];
/** An event with content; `hello` and `reset` are about the stream itself. */
export type LiveEvent = Exclude<Schemas["EventOut"], Schemas["HelloEvent"] | Schemas["StreamReset"]>;
interface Message {
  state: Connection;
  kind?: string;
  data?: LiveEvent;
}
export interface Live {
  state: Connection;
  /** When this state began. */
  since: number;
}
const BATCH = 250; // milliseconds: one render for many events
const EVERY = 2_000; // the overview and lists are refetched at most this often
const SETTLE = 5_000;
const listeners = new Set<(events: LiveEvent[]) => void>();
const watchers = new Set<() => void>();
const watched = new Map<string, number>();
let live: Live = { state: "connecting", since: Date.now() };
let port: MessagePort | undefined;
let batch: LiveEvent[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

const send = (message: FromTab) => port?.postMessage(message);

/** Connects to the worker that reads the stream: shared by all tabs, or our own if the browser has no shared workers. */
function connect(): MessagePort {
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
  port = connect();
  port.onmessage = ({ data: message }: MessageEvent<Message>) => {
    if (message.state !== live.state) setState(message.state, queries);
    if (message.kind === "reset") void queries.invalidateQueries();
    else if (message.data?.kind) take(queries, message.data);
  };
  port.start();
  send({ watch: [...watched.keys()] });
  const lock = `agentgrid-tab-${crypto.randomUUID()}`;
  void navigator.locks.request(lock, () => {
    send({ lock });
    return new Promise(() => {}); // held until the tab is closed
  });
}
function setState(state: Connection, queries: QueryClient) {
  // The stream replays what happened while it was down; refetch what it doesn't carry.
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
/** Invalidate, at most once per `EVERY`; the last change is never missed. */
export function invalidateLater(queries: QueryClient, queryKey: string[], exact = false, every = EVERY) {
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
/** Merges a step event into the timeline's step: fields that the event doesn't carry keep their value. */
function merged(old: TimelineStep | undefined, step: Schemas["StepSummary"]): TimelineStep {
  const fields = Object.fromEntries(
    Object.entries(step).filter(
      ([key, value]) => value !== null && key !== "attempts" && key !== "title" && key !== "name",
    ),
  );
  const title = old?.title ?? step.title ?? step.name;
  return {
    name: step.name,
    ...old,
    ...fields,
    title,
    attempt_count: step.attempts,
    error_type: step.error?.type ?? undefined,
    live_next_retry_at: step.live_next_retry_at ?? undefined,
  } as TimelineStep;
}
/** Applies step events without a refetch: an event holds the full summary. */
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
/** Applies a run event, which holds the full row. Fields that only the run's page has keep their value. */
const withRow = (old: RunDetail | undefined, row: Schemas["RunSummary"]): RunDetail | undefined =>
  old && { ...old, ...row };
/** Whether the row implies changes to what it doesn't hold: the actions, the approvals, the chain. */
const STATE_FIELDS = ["status", "waiting_on", "hold", "approvals_pending"] as const;
const stateChanged = (old: RunDetail, row: Schemas["RunSummary"]) =>
  STATE_FIELDS.some((field) => old[field] !== row[field]);

function refresh(queries: QueryClient, events: LiveEvent[]) {
  const kinds = new Set(events.map((e) => e.kind));
  for (const run of watched.keys()) {
    const mine = events.filter((e) => e.run_id === run);
    const steps = mine.filter((e) => e.kind === "step").map((e) => e.data as Schemas["StepSummary"]);
    if (steps.length) {
      queries.setQueryData<Timeline>(["runs", run, "timeline"], (old) => withSteps(old, steps));
      invalidateLater(queries, ["runs", run, "timeline"], false, SETTLE); // for what events don't carry: labels, attempts, approvals
    }
    const row = mine.findLast((e) => e.kind === "run")?.data;
    const old = queries.getQueryData<RunDetail>(["runs", run]);
    if (row) queries.setQueryData<RunDetail>(["runs", run], withRow(old, row));
    const newExecution = steps.some((s) => !old?.executions.some((e) => e.execution_id === s.execution_id));
    if (
      mine.some((e) => e.kind === "end" || e.kind === "approval") ||
      newExecution ||
      (row && old && stateChanged(old, row))
    )
      void queries.invalidateQueries({ queryKey: ["runs", run], exact: true });
    else if (row) invalidateLater(queries, ["runs", run], true, SETTLE); // for the state sentence
    if (mine.some((e) => e.kind === "end")) invalidateLater(queries, ["runs", run, "timeline"]);
  }
  if (kinds.has("run") || kinds.has("end")) {
    invalidateLater(queries, ["overview"]);
    invalidateLater(queries, ["runs", "list"]);
    invalidateLater(queries, ["runs", "counts"]);
    invalidateLater(queries, ["workflows"]); // how many of each are open
  }
  if (kinds.has("approval")) {
    void queries.invalidateQueries({ queryKey: ["approvals"] });
    invalidateLater(queries, ["overview"]);
  }
  if (kinds.has("command")) invalidateLater(queries, ["commands"]);
  if (kinds.has("policy") || kinds.has("catalog"))
    for (const noun of ["tools", "agents", "workflows", "policies", "mcp_servers", "overview"])
      invalidateLater(queries, [noun]);
}
export const useLive = (): Live =>
  useSyncExternalStore(
    (w) => {
      watchers.add(w);
      return () => watchers.delete(w);
    },
    () => live,
  );
/** Receive events in batches. */
export function useEvents(listener: (events: LiveEvent[]) => void) {
  useEffect(() => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, [listener]);
}
/** Include a run's steps in the stream while the component is mounted. */
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
