import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";

export const list = () =>
  queryOptions({
    queryKey: ["workflows", "list"],
    queryFn: () => ask(client.GET("/api/v1/workflows", { params: { query: { limit: 200 } } })),
    staleTime: 30_000,
  });
export const one = (name: string) =>
  queryOptions({
    queryKey: ["workflows", name],
    queryFn: () => ask(client.GET("/api/v1/workflows/{name}", { params: { path: { name } } })),
    staleTime: 30_000,
  });
