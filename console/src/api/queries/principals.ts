import { infiniteQueryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export type Principal = components["schemas"]["PrincipalSummary"];
const PAGE = 100;

export const pages = () =>
  infiniteQueryOptions({
    queryKey: ["principals"],
    queryFn: ({ pageParam }) =>
      unwrap(client.GET("/api/v1/principals", { params: { query: { limit: PAGE, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
export const act = (name: string, verb: "disable" | "enable", reason: string | null, key: string) =>
  unwrap(
    client.POST(`/api/v1/principals/{name}/${verb}` as "/api/v1/principals/{name}/disable", {
      params: { path: { name } },
      headers: { "Idempotency-Key": key },
      body: { reason },
    }),
  );
