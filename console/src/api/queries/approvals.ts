import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";
import type { paths } from "../schema";

type ApprovalFilter = NonNullable<paths["/api/v1/approvals"]["get"]["parameters"]["query"]>;
export const list = (query: ApprovalFilter) =>
  queryOptions({
    queryKey: ["approvals", "list", query],
    queryFn: () => ask(client.GET("/api/v1/approvals", { params: { query } })),
  });
/** What can be decided by the caller, what waits at all (both the most urgent first), and what is over. */
export const LISTS = {
  me: { status: ["pending"], decidable_by: "me", sort: "urgency", limit: 200 },
  all: { status: ["pending"], sort: "urgency", limit: 200 },
  done: { status: ["approved", "rejected", "expired", "cancelled"], limit: 100 },
} satisfies Record<string, ApprovalFilter>;
/** How many wait: for this caller, and in all. */
export const counts = () =>
  queryOptions({ queryKey: ["approvals", "counts"], queryFn: () => ask(client.GET("/api/v1/approvals/counts")) });
export const one = (approval_id: string) =>
  queryOptions({
    queryKey: ["approvals", approval_id],
    queryFn: () => ask(client.GET("/api/v1/approvals/{approval_id}", { params: { path: { approval_id } } })),
  });
