import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { components } from "../schema";

export type McpServer = components["schemas"]["McpServerOut"];

export const list = () =>
  queryOptions({
    queryKey: ["mcp_servers"],
    queryFn: () => unwrap(client.GET("/api/v1/mcp-servers")),
    staleTime: 30_000,
  });
