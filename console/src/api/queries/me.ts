import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";

export const me = () =>
  queryOptions({ queryKey: ["me"], queryFn: () => ask(client.GET("/api/v1/me")), staleTime: 5 * 60_000, retry: false });
export const overview = () =>
  queryOptions({ queryKey: ["overview"], queryFn: () => ask(client.GET("/api/v1/overview")) });
