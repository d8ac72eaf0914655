import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";

export const me = () =>
  queryOptions({ queryKey: ["me"], queryFn: () => ask(client.GET("/api/v1/me")), staleTime: 5 * 60_000, retry: false });
/** `lists`: with the first rows behind its figures. */
export const overview = (lists = false) =>
  queryOptions({
    queryKey: ["overview", { lists }],
    queryFn: () => ask(client.GET("/api/v1/overview", { params: { query: { lists } } })),
  });
