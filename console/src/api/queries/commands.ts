import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { paths } from "../schema";

export type CommandFilter = Omit<
  NonNullable<paths["/api/v1/commands"]["get"]["parameters"]["query"]>,
  "cursor" | "limit"
>;
const PAGE = 100;

export const pages = (query: CommandFilter) =>
  infiniteQueryOptions({
    queryKey: ["commands", "pages", query],
    queryFn: ({ pageParam }) =>
      unwrap(client.GET("/api/v1/commands", { params: { query: { ...query, limit: PAGE, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
export const one = (command_id: string) =>
  queryOptions({
    queryKey: ["commands", command_id],
    queryFn: () => unwrap(client.GET("/api/v1/commands/{command_id}", { params: { path: { command_id } } })),
  });
/** Download URL for the matching commands. */
export function exported(filter: CommandFilter, format: "csv" | "ndjson"): string {
  const query = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(filter))
    for (const item of [value].flat()) if (item != null) query.append(name, String(item));
  return `/api/v1/commands/export?${query}`;
}
