import { queryOptions } from "@tanstack/react-query";
import { unwrap, client } from "../client";
import type { paths } from "../schema";

type ApprovalFilter = NonNullable<paths["/api/v1/approvals"]["get"]["parameters"]["query"]>;
export const list = (query: ApprovalFilter) =>
  queryOptions({
    queryKey: ["approvals", "list", query],
    queryFn: () => unwrap(client.GET("/api/v1/approvals", { params: { query } })),
  });
/** Approvals the caller can decide, all pending ones (both most urgent first), and closed ones. */
export const LISTS = {
  me: { status: ["pending"], decidable_by: "me", sort: "urgency", limit: 200 },
  all: { status: ["pending"], sort: "urgency", limit: 200 },
  done: { status: ["approved", "rejected", "expired", "cancelled"], limit: 100 },
} satisfies Record<string, ApprovalFilter>;
/** Pending approvals: for this caller, and in total. */
export const counts = () =>
  queryOptions({ queryKey: ["approvals", "counts"], queryFn: () => unwrap(client.GET("/api/v1/approvals/counts")) });
export const one = (approval_id: string) =>
  queryOptions({
    queryKey: ["approvals", approval_id],
    queryFn: () => unwrap(client.GET("/api/v1/approvals/{approval_id}", { params: { path: { approval_id } } })),
  });
