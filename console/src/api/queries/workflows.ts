import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export const list = () =>
  queryOptions({
    queryKey: ["workflows", "list"],
    queryFn: () => unwrap(client.GET("/api/v1/workflows", { params: { query: { limit: 200 } } })),
    staleTime: 30_000,
  });
export const one = (name: string) =>
  queryOptions({
    queryKey: ["workflows", name],
    queryFn: () => unwrap(client.GET("/api/v1/workflows/{name}", { params: { path: { name } } })),
    staleTime: 30_000,
  });
/** A version with its schemas. Immutable, so it never goes stale. */
export const version = (name: string, version: string) =>
  queryOptions({
    queryKey: ["workflow-versions", name, version],
    queryFn: () =>
      unwrap(client.GET("/api/v1/workflows/{name}/versions/{version}", { params: { path: { name, version } } })),
    staleTime: Infinity,
  });
/** How its runs ended in the last 30 days. */
export const figures = (name: string) =>
  queryOptions({
    queryKey: ["workflows", name, "figures"],
    queryFn: () => unwrap(client.GET("/api/v1/workflows/{name}/figures", { params: { path: { name } } })),
    staleTime: 60_000,
  });

export type RunStart = components["schemas"]["RunStart"];
/** Start a run. Idempotent per key: the same key and body return the same run. */
export const start = (name: string, body: RunStart, key: string) =>
  unwrap(
    client.POST("/api/v1/workflows/{name}/runs", {
      params: { path: { name } },
      headers: { "Idempotency-Key": key },
      body,
    }),
  );
export type Switch = "disable" | "enable";
/** Turn its kill switch on or off. */
export const turn = (name: string, to: Switch, reason: string | null, key: string) =>
  unwrap(
    client.POST(`/api/v1/workflows/{name}/${to}` as "/api/v1/workflows/{name}/disable", {
      params: { path: { name } },
      headers: { "Idempotency-Key": key },
      body: { reason },
    }),
  );
/** How many live workers poll a task queue. */
export const serving = (task_queue: string) =>
  queryOptions({
    queryKey: ["workers", "serving", task_queue],
    queryFn: async () => {
      const { items } = await unwrap(client.GET("/api/v1/workers"));
      return items.filter((w) => w.task_queue === task_queue && w.status === "live").length;
    },
    staleTime: 30_000,
  });
