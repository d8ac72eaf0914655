import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";

const LEAST = 2; // letters
const MOST = 5; // of each kind
/** Runs, approvals, workflows, tools, agents, and for administrators principals. */
export const hits = (q: string) =>
  queryOptions({
    queryKey: ["search", q],
    queryFn: () => unwrap(client.GET("/api/v1/search", { params: { query: { q, limit: MOST } } })),
    enabled: q.length >= LEAST,
  });
