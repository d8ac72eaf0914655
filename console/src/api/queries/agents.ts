import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export const list = () =>
  queryOptions({
    queryKey: ["agents", "list"],
    queryFn: () => unwrap(client.GET("/api/v1/agents", { params: { query: { limit: 200 } } })),
    staleTime: 30_000,
  });
export const one = (name: string) =>
  queryOptions({
    queryKey: ["agents", name],
    queryFn: () => unwrap(client.GET("/api/v1/agents/{name}", { params: { path: { name } } })),
    staleTime: 30_000,
  });
export type AgentEdit = components["schemas"]["AgentPut"];
const DAY = 24 * 60 * 60_000;
export const DAYS = 14;
/** Usage by day, in UTC as the API counts it. */
export const usage = (name: string) =>
  queryOptions({
    queryKey: ["agents", name, "usage"],
    queryFn: () => {
      const today = Math.floor(Date.now() / DAY) * DAY;
      const from = new Date(today - (DAYS - 1) * DAY).toISOString();
      return unwrap(
        client.GET("/api/v1/agents/{name}/usage", { params: { path: { name }, query: { from, bucket: "day" } } }),
      );
    },
    staleTime: 60_000,
  });
export const edit = (name: string, body: AgentEdit, key: string) =>
  unwrap(
    client.PUT("/api/v1/agents/{name}", { params: { path: { name } }, headers: { "Idempotency-Key": key }, body }),
  );
export const use = (name: string, version: string, expected_version: string, note: string, key: string) =>
  unwrap(
    client.POST("/api/v1/agents/{name}/use", {
      params: { path: { name } },
      headers: { "Idempotency-Key": key },
      body: { version, expected_version, note },
    }),
  );
