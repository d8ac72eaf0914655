import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export type SigningKey = components["schemas"]["SigningKeyOut"];
const MOST = 200;

export const list = () =>
  queryOptions({
    queryKey: ["signing_keys"],
    queryFn: () => unwrap(client.GET("/api/v1/signing-keys", { params: { query: { limit: MOST } } })),
  });
export const act = (key_id: string, verb: "retire" | "revoke", reason: string | null, key: string) =>
  unwrap(
    client.POST(`/api/v1/signing-keys/{key_id}/${verb}` as "/api/v1/signing-keys/{key_id}/retire", {
      params: { path: { key_id } },
      headers: { "Idempotency-Key": key },
      body: { reason },
    }),
  );
