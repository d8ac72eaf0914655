import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";
import type { paths } from "../schema";

export type RunFilter = Omit<NonNullable<paths["/api/v1/runs"]["get"]["parameters"]["query"]>, "cursor" | "limit">;
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
