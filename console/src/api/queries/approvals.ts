import { queryOptions } from "@tanstack/react-query";
import { ask, client } from "../client";
import type { paths } from "../schema";

export type ApprovalFilter = NonNullable<paths["/api/v1/approvals"]["get"]["parameters"]["query"]>;
export const list = (query: ApprovalFilter) =>
  queryOptions({
    queryKey: ["approvals", "list", query],
    queryFn: () => ask(client.GET("/api/v1/approvals", { params: { query } })),
  });
/** How many wait: for this caller, and in all. */
export const counts = () =>
  queryOptions({ queryKey: ["approvals", "counts"], queryFn: () => ask(client.GET("/api/v1/approvals/counts")) });
export const one = (approval_id: string) =>
  queryOptions({
    queryKey: ["approvals", approval_id],
    queryFn: () => ask(client.GET("/api/v1/approvals/{approval_id}", { params: { path: { approval_id } } })),
  });
