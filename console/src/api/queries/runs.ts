import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { unwrap, client, type StepGroup, type TimelineStep } from "../client";
import type { paths } from "../schema";

export type RunFilter = Omit<
  NonNullable<paths["/api/v1/runs"]["get"]["parameters"]["query"]>,
  "cursor" | "limit" | "sort"
>;
export const PAGE = 100;

const page = (query: RunFilter, limit: number, cursor?: string) =>
  unwrap(client.GET("/api/v1/runs", { params: { query: { ...query, limit, cursor } } }));
export const list = (query: RunFilter, limit = PAGE) =>
  queryOptions({ queryKey: ["runs", "list", query, limit], queryFn: () => page(query, limit) });
export const pages = (query: RunFilter) =>
  infiniteQueryOptions({
    queryKey: ["runs", "pages", query],
    queryFn: ({ pageParam }) => page(query, PAGE, pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
export const facets = (query: RunFilter) =>
  queryOptions({
    queryKey: ["runs", "facets", query],
    staleTime: 30_000, // expensive to count: fetched only when the filter changes
    queryFn: () => unwrap(client.GET("/api/v1/runs/facets", { params: { query } })),
  });
export const counts = (query: RunFilter) =>
  queryOptions({
    queryKey: ["runs", "counts", query],
    queryFn: () => unwrap(client.GET("/api/v1/runs/counts", { params: { query } })),
  });
export const one = (run_id: string) =>
  queryOptions({
    queryKey: ["runs", run_id],
    queryFn: () => unwrap(client.GET("/api/v1/runs/{run_id}", { params: { path: { run_id } } })),
  });

const MOST_STEPS = 5_000;
export const LINES = 200; // log lines per page
type Part = Pick<StepGroup, "execution_id" | "first" | "last">;
/** All steps in one response, without payloads; optionally of one execution only. */
export const timeline = (run_id: string, execution?: string) =>
  queryOptions({
    queryKey: ["runs", run_id, "timeline", ...(execution ? [execution] : [])],
    queryFn: () =>
      unwrap(
        client.GET("/api/v1/runs/{run_id}/timeline", {
          params: { path: { run_id }, query: { limit: MOST_STEPS, execution } },
        }),
      ),
  });
/** The steps of a fan-out that the server folded into a group. */
export const unfolded = (run_id: string, { execution_id, first, last }: Part) =>
  queryOptions({
    queryKey: ["runs", run_id, "unfolded", execution_id, first, last],
    staleTime: 10_000,
    queryFn: () =>
      unwrap(
        client.GET("/api/v1/runs/{run_id}/timeline", {
          params: { path: { run_id }, query: { limit: 2 * MOST_STEPS, execution: execution_id, first, last } },
        }),
      ),
  });
export const jobs = (run_id: string, execution: string, activity: string) =>
  queryOptions({
    queryKey: ["runs", run_id, "jobs", execution, activity],
    queryFn: () =>
      unwrap(
        client.GET("/api/v1/runs/{run_id}/jobs", {
          params: { path: { run_id }, query: { limit: 100, execution, activity } },
        }),
      ),
  });
export type LogFilter = Pick<
  NonNullable<paths["/api/v1/runs/{run_id}/logs"]["get"]["parameters"]["query"]>,
  "min_level" | "q" | "execution" | "step_event_id"
>;
type Place = { tail: number } | { before: number } | { after: number };
/** One page of log lines, oldest first: the last ones, those before a line, or those after it. */
export const logs = (run_id: string, filter: LogFilter, place: Place) =>
  unwrap(
    client.GET("/api/v1/runs/{run_id}/logs", {
      params: { path: { run_id }, query: { ...filter, ...place, ...("tail" in place ? {} : { limit: LINES }) } },
    }),
  ).then((page) => page.items);
/** Download URL for all matching lines. */
export function logsFile(run_id: string, filter: LogFilter): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filter)) if (value != null) query.set(name, String(value));
  return `/api/v1/runs/${run_id}/logs/download?${query}`;
}
const EVENTS = 100;
/** An execution's history events, from Temporal or the archive. */
export const history = (run_id: string, execution: string | undefined) =>
  infiniteQueryOptions({
    queryKey: ["runs", run_id, "history", execution],
    staleTime: 5_000,
    queryFn: ({ pageParam }) =>
      unwrap(
        client.GET("/api/v1/runs/{run_id}/history", {
          params: { path: { run_id }, query: { execution, limit: EVENTS, cursor: pageParam } },
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });

export type Verb = "cancel" | "terminate" | "pause" | "resume" | "interrupt";
/** Request an action. Idempotent per key. Only an interruption takes a message, for the agent. */
export const act = (run_id: string, verb: Verb, key: string, body: { reason: string | null; message?: string }) =>
  unwrap(
    client.POST(`/api/v1/runs/{run_id}/${verb}` as "/api/v1/runs/{run_id}/interrupt", {
      params: { path: { run_id } },
      headers: { "Idempotency-Key": key },
      body,
    }),
  );
/** A step with its payloads. */
export const step = (run_id: string, step: Pick<TimelineStep, "execution_id" | "event_id" | "status">) =>
  queryOptions({
    queryKey: ["runs", run_id, "step", step.execution_id, step.event_id, step.status],
    queryFn: () =>
      unwrap(
        client.GET("/api/v1/runs/{run_id}/steps/{execution_id}/{event_id}", {
          params: { path: { run_id, execution_id: step.execution_id, event_id: step.event_id } },
        }),
      ),
  });
/** Download URL for a full value. */
export const download = (
  run_id: string,
  step: Pick<TimelineStep, "execution_id" | "event_id">,
  which: "input" | "output",
) => `/api/v1/runs/${run_id}/steps/${step.execution_id}/${step.event_id}/${which}`;
