import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { ask, client, type TimelineStep } from "../client";
import type { paths } from "../schema";

export type RunFilter = Omit<
  NonNullable<paths["/api/v1/runs"]["get"]["parameters"]["query"]>,
  "cursor" | "limit" | "sort"
>;
export const PAGE = 100;

const page = (query: RunFilter, limit: number, cursor?: string) =>
  ask(client.GET("/api/v1/runs", { params: { query: { ...query, limit, cursor } } }));
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
    staleTime: 30_000, // dear to count: asked for when the filter changes
    queryFn: () => ask(client.GET("/api/v1/runs/facets", { params: { query } })),
  });
export const counts = (query: RunFilter) =>
  queryOptions({
    queryKey: ["runs", "counts", query],
    queryFn: () => ask(client.GET("/api/v1/runs/counts", { params: { query } })),
  });
export const one = (run_id: string) =>
  queryOptions({
    queryKey: ["runs", run_id],
    queryFn: () => ask(client.GET("/api/v1/runs/{run_id}", { params: { path: { run_id } } })),
  });

const MOST_STEPS = 5_000;
const LOGS = 500; // the last lines; older ones are in the download
/** All steps in one answer, without payloads. */
export const timeline = (run_id: string) =>
  queryOptions({
    queryKey: ["runs", run_id, "timeline"],
    queryFn: () =>
      ask(client.GET("/api/v1/runs/{run_id}/timeline", { params: { path: { run_id }, query: { limit: MOST_STEPS } } })),
  });
export const jobs = (run_id: string, execution: string, activity: string) =>
  queryOptions({
    queryKey: ["runs", run_id, "jobs", execution, activity],
    queryFn: () =>
      ask(
        client.GET("/api/v1/runs/{run_id}/jobs", {
          params: { path: { run_id }, query: { limit: 100, execution, activity } },
        }),
      ),
  });
export const logs = (run_id: string) =>
  queryOptions({
    queryKey: ["runs", run_id, "logs"],
    queryFn: () =>
      ask(client.GET("/api/v1/runs/{run_id}/logs", { params: { path: { run_id }, query: { tail: LOGS } } })),
  });

export type Verb = "cancel" | "terminate" | "pause" | "resume" | "interrupt";
/** Ask for a verb. The same key again does nothing twice. */
export const act = (run_id: string, verb: Verb, reason: string | null, key: string) =>
  ask(
    client.POST(`/api/v1/runs/{run_id}/${verb}` as "/api/v1/runs/{run_id}/cancel", {
      params: { path: { run_id } },
      headers: { "Idempotency-Key": key },
      body: { reason },
    }),
  );
/** A step with its payloads. */
export const step = (run_id: string, step: Pick<TimelineStep, "execution_id" | "event_id" | "status">) =>
  queryOptions({
    queryKey: ["runs", run_id, "step", step.execution_id, step.event_id, step.status],
    queryFn: () =>
      ask(
        client.GET("/api/v1/runs/{run_id}/steps/{execution_id}/{event_id}", {
          params: { path: { run_id, execution_id: step.execution_id, event_id: step.event_id } },
        }),
      ),
  });
/** Where a whole value is downloaded from. */
export const download = (
  run_id: string,
  step: Pick<TimelineStep, "execution_id" | "event_id">,
  which: "input" | "output",
) => `/api/v1/runs/${run_id}/steps/${step.execution_id}/${step.event_id}/${which}`;
