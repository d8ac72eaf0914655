/** A decision: sent once, and shown as counted only when the run has counted it. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError, unwrap, Away, client, type ApprovalDetail } from "../../api/client";
import type { Arguments } from "./schema";

export type Verdict = "approved" | "rejected";
type Stage = "open" | "sending" | "sent" | "counted" | "elsewhere";
interface Sent {
  verdict: Verdict;
  comment: string | null;
  arguments: Arguments | null;
}

/** The request's errors: by argument, and for the comment. */
function faultsOf(error: unknown) {
  const faults: { arguments: Record<string, string>; comment?: string } = { arguments: {} };
  if (!(error instanceof ApiError)) return faults;
  for (const { pointer, message } of error.problem.faults ?? []) {
    const [, field, name] = pointer.split("/");
    if (field === "comment") faults.comment = message;
    else if (field === "arguments" && name)
      faults.arguments[name.replaceAll("~1", "/").replaceAll("~0", "~")] = message;
  }
  return faults;
}
function messageOf(error: Error | null): string | undefined {
  if (error instanceof ApiError && error.problem.code === "idempotency_conflict")
    return "You already sent another decision on this approval; it is being delivered.";
  return error?.message;
}
/**
 * The idempotency key of this person's next decision: the same in every tab and after a reload, so that
 * it is recorded once however often it is sent.
 * The API releases the key if it refuses the request. Every decision that arrived, including refused signals
 * and proposals, changes the next key.
 */
export function keyOf(approval: ApprovalDetail, me: string): string {
  const arrived = approval.decisions.filter((d) => d.principal === me).length;
  return `decision ${approval.approval_id} ${arrived + approval.proposals.filter((p) => p.principal === me).length}`;
}
export function useDecision(approval: ApprovalDetail, me: string | undefined) {
  const queries = useQueryClient();
  const [sent, setSent] = useState<Sent>();
  const mutation = useMutation({
    mutationFn: ({ body, key }: { body: Sent; key: string }) =>
      unwrap(
        client.POST("/api/v1/approvals/{approval_id}/decisions", {
          params: { path: { approval_id: approval.approval_id } },
          headers: { "Idempotency-Key": key },
          body: { ...body, digest: approval.digest },
        }),
      ),
    // Only if there was no response, and with the same key: a decision is never counted twice.
    retry: (times, error) => times < 2 && error instanceof Away,
    onSettled: () => queries.invalidateQueries({ queryKey: ["approvals"] }),
    onSuccess: ({ command }) => {
      if (command.kind === "approval.propose") setSent(undefined); // it stays open for another approver
    },
    onError: () => setSent(undefined),
  });
  function decide(verdict: Verdict, comment: string, changed?: Arguments) {
    if (sent || approval.status !== "pending" || !me) return;
    const body = { verdict, comment: comment.trim() || null, arguments: changed ?? null };
    setSent(body);
    mutation.mutate({ body, key: keyOf(approval, me) });
  }
  return {
    stage: stageOf(approval, me, sent, mutation.isSuccess),
    sent,
    decide,
    proposed: mutation.data?.command.kind === "approval.propose",
    faults: faultsOf(mutation.error),
    error: messageOf(mutation.error),
  };
}
function stageOf(approval: ApprovalDetail, me: string | undefined, sent: Sent | undefined, arrived: boolean): Stage {
  if (approval.status !== "pending") return sent && approval.decided_by === me ? "counted" : "elsewhere";
  if (!sent) return "open";
  return arrived ? "sent" : "sending";
}
