import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";

export const list = () =>
  queryOptions({
    queryKey: ["tools", "list"],
    queryFn: () => unwrap(client.GET("/api/v1/tools", { params: { query: { limit: 200 } } })),
    staleTime: 30_000,
  });
export const one = (name: string) =>
  queryOptions({
    queryKey: ["tools", name],
    queryFn: () => unwrap(client.GET("/api/v1/tools/{name}", { params: { path: { name } } })),
    staleTime: 30_000,
  });
