import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";
import type { components } from "../schema";

/** One's own views and the shared ones, by title. */
export const list = () =>
  queryOptions({ queryKey: ["views"], queryFn: () => ask(client.GET("/api/v1/views")), staleTime: 30_000 });

/** Save a view, or replace it. The same key again is the same change. */
export const put = (name: string, body: components["schemas"]["ViewPut"], key: string) =>
  ask(client.PUT("/api/v1/views/{name}", { params: { path: { name } }, headers: { "Idempotency-Key": key }, body }));
export const remove = (view: components["schemas"]["ViewOut"], key: string) =>
  ask(
    client.DELETE("/api/v1/views/{name}", {
      params: { path: { name: view.name }, query: { shared: view.shared, expected_version: view.version } },
      headers: { "Idempotency-Key": key },
    }),
  );
