import { infiniteQueryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

type Schemas = components["schemas"];
export type Key = Schemas["KeyOut"];
export type NewKey = Schemas["KeyMade"];
export type Proposed = Schemas["Proposed"];
const PAGE = 100;

export const pages = (principal?: string) =>
  infiniteQueryOptions({
    queryKey: ["keys", principal],
    queryFn: ({ pageParam }) =>
      unwrap(client.GET("/api/v1/keys", { params: { query: { principal, limit: PAGE, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
/** Create an API key. If its owner can decide approvals, a second administrator must confirm: the response is then a proposal. */
export const create = (body: Schemas["KeyIn"], key: string): Promise<NewKey | Proposed> =>
  unwrap(client.POST("/api/v1/keys", { params: { header: { "idempotency-key": key } }, body }));
export const revoke = (key_id: string, reason: string | null, key: string) =>
  unwrap(
    client.POST("/api/v1/keys/{key_id}/revoke", {
      params: { path: { key_id } },
      headers: { "Idempotency-Key": key },
      body: { reason },
    }),
  );
