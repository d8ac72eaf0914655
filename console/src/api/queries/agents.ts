import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";

export const list = () =>
  queryOptions({
    queryKey: ["agents", "list"],
    queryFn: () => ask(client.GET("/api/v1/agents", { params: { query: { limit: 200 } } })),
    staleTime: 30_000,
  });
export const one = (name: string) =>
  queryOptions({
    queryKey: ["agents", name],
    queryFn: () => ask(client.GET("/api/v1/agents/{name}", { params: { path: { name } } })),
    staleTime: 30_000,
  });
