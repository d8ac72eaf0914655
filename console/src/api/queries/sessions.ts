import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export type Session = components["schemas"]["SessionOut"];
const MOST = 200;

export const list = (principal: string) =>
  queryOptions({
    queryKey: ["sessions", principal],
    queryFn: () => unwrap(client.GET("/api/v1/sessions", { params: { query: { principal, limit: MOST } } })),
  });
export const end = (session_id: string, reason: string | null, key: string) =>
  unwrap(
    client.POST("/api/v1/sessions/{session_id}/end", {
      params: { path: { session_id } },
      headers: { "Idempotency-Key": key },
      body: { reason },
    }),
  );
