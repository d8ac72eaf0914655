/** A decision: sent once, and shown as counted only when the run has counted it. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError, ask, Away, client, type ApprovalDetail } from "../../api/client";
import type { Arguments } from "./schema";

export type Verdict = "approved" | "rejected";
type Stage = "open" | "sending" | "sent" | "counted" | "elsewhere";
interface Sent {
  verdict: Verdict;
  comment: string | null;
  arguments: Arguments | null;
}

/** Faults of the request by the argument that they are about, and of the comment. */
function faultsOf(error: unknown) {
  const of: { arguments: Record<string, string>; comment?: string } = { arguments: {} };
  if (!(error instanceof ApiError)) return of;
  for (const { pointer, message } of error.problem.faults ?? []) {
    const [, field, name] = pointer.split("/");
    if (field === "comment") of.comment = message;
    else if (field === "arguments" && name) of.arguments[name.replaceAll("~1", "/").replaceAll("~0", "~")] = message;
  }
  return of;
}
function messageOf(error: Error | null): string | undefined {
  if (error instanceof ApiError && error.problem.code === "idempotency_conflict")
    return "You have sent another decision on this approval already, and it is on its way.";
  return error?.message;
}
/**
 * The key of this person's next answer: the same in every tab and after a reload, so that it is recorded once however often it is sent.
 * The API frees it where it refuses; what has arrived, refused signals and proposals too, makes the next one another answer.
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
      ask(
        client.POST("/api/v1/approvals/{approval_id}/decisions", {
          params: { path: { approval_id: approval.approval_id } },
          headers: { "Idempotency-Key": key },
          body: { ...body, digest: approval.digest },
        }),
      ),
    // Only where nothing answered, and with the same key: a decision is never counted twice.
    retry: (times, error) => times < 2 && error instanceof Away,
    onSettled: () => queries.invalidateQueries({ queryKey: ["approvals"] }),
    onSuccess: ({ command }) => {
      if (command.kind === "approval.propose") setSent(undefined); // it stays open, for somebody else
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
