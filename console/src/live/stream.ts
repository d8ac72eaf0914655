/** What changes, as it changes: one stream for all tabs, handed to the queries in batches. */
import type { QueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import type { Step } from "../api/client";
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
interface Steps {
  items: Step[];
  complete: boolean;
}
export interface Live {
  state: Connection;
  /** Since when it is as it is. */
  since: number;
}
const BATCH = 250; // milliseconds: one rendering for many events
const EVERY = 2_000; // the overview and lists are read again at most this often
const listeners = new Set<(events: LiveEvent[]) => void>();
const watchers = new Set<() => void>();
const watched = new Map<string, number>();
let live: Live = { state: "connecting", since: Date.now() };
let port: MessagePort | undefined;
let batch: LiveEvent[] = [];
let timer: ReturnType<typeof setTimeout> | undefined;

const send = (message: FromTab) => port?.postMessage(message);

export function start(queries: QueryClient) {
  const worker = new SharedWorker(new URL("./stream.worker.ts", import.meta.url), {
    type: "module",
    name: "agentgrid-stream",
  });
  port = worker.port;
  port.onmessage = ({ data: message }: MessageEvent<Message>) => {
    if (message.state !== live.state) become(message.state, queries);
    if (message.kind === "reset") void queries.invalidateQueries();
    else if (message.data?.kind) take(queries, message.data);
  };
  port.start();
  send({ watch: [...watched.keys()] });
  addEventListener("pagehide", () => send({ bye: true }));
}
function become(state: Connection, queries: QueryClient) {
  // What happened while the stream was away comes with it; what isn't in the stream is read again.
  if (state === "live" && live.state === "reconnecting") void queries.invalidateQueries();
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
function later(queries: QueryClient, queryKey: string[], exact = false) {
  const name = `${queryKey.join("/")}/${exact}`;
  if (due.has(name)) return;
  due.set(
    name,
    setTimeout(() => {
      due.delete(name);
      void queries.invalidateQueries({ queryKey, exact });
    }, EVERY),
  );
}
const same = (a: Pick<Step, "execution_id" | "event_id">, b: Pick<Step, "execution_id" | "event_id">) =>
  a.execution_id === b.execution_id && a.event_id === b.event_id;
/** Steps as they are now, without asking for them: an event holds the whole summary. */
export function withSteps(old: Steps | undefined, changed: Partial<Step>[]): Steps | undefined {
  if (!old) return old;
  const items = [...old.items];
  for (const step of changed as Step[]) {
    const at = items.findLastIndex((s) => same(s, step));
    if (at >= 0) items[at] = { ...items[at]!, ...step };
    else items.push(step);
  }
  return { ...old, items };
}
function refresh(queries: QueryClient, events: LiveEvent[]) {
  const kinds = new Set(events.map((e) => e.kind));
  for (const run of watched.keys()) {
    const mine = events.filter((e) => e.run_id === run);
    const steps = mine.filter((e) => e.kind === "step").map((e) => e.data as Partial<Step>);
    if (steps.length) queries.setQueryData<Steps>(["runs", run, "steps"], (old) => withSteps(old, steps));
    if (mine.some((e) => e.kind === "run" || e.kind === "end" || e.kind === "approval"))
      void queries.invalidateQueries({ queryKey: ["runs", run], exact: true });
    if (mine.some((e) => e.kind === "log" || e.kind === "end")) later(queries, ["runs", run, "logs"]);
    if (mine.some((e) => e.kind === "end")) later(queries, ["runs", run, "steps"]);
  }
  if (kinds.has("run") || kinds.has("end")) {
    later(queries, ["overview"]);
    later(queries, ["runs", "list"]);
    later(queries, ["runs", "counts"]);
  }
  if (kinds.has("approval")) {
    void queries.invalidateQueries({ queryKey: ["approvals"] });
    later(queries, ["overview"]);
  }
  if (kinds.has("command")) later(queries, ["commands"]);
  if (kinds.has("policy") || kinds.has("catalog"))
    for (const noun of ["tools", "agents", "workflows", "policies"]) later(queries, [noun]);
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
