import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";

export const me = () =>
  queryOptions({
    queryKey: ["me"],
    queryFn: () => unwrap(client.GET("/api/v1/me")),
    staleTime: 5 * 60_000,
    retry: false,
  });
/** `lists` adds the first rows behind the figures. */
export const overview = (lists = false) =>
  queryOptions({
    queryKey: ["overview", { lists }],
    queryFn: () => unwrap(client.GET("/api/v1/overview", { params: { query: { lists } } })),
  });
