import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

/** The user's own views and the shared ones, by title. */
export const list = () =>
  queryOptions({ queryKey: ["views"], queryFn: () => unwrap(client.GET("/api/v1/views")), staleTime: 30_000 });

/** Save or replace a view. Idempotent per key. */
export const put = (name: string, body: components["schemas"]["ViewPut"], key: string) =>
  unwrap(client.PUT("/api/v1/views/{name}", { params: { path: { name } }, headers: { "Idempotency-Key": key }, body }));
export const remove = (view: components["schemas"]["ViewOut"], key: string) =>
  unwrap(
    client.DELETE("/api/v1/views/{name}", {
      params: { path: { name: view.name }, query: { shared: view.shared, expected_version: view.version } },
      headers: { "Idempotency-Key": key },
    }),
  );
