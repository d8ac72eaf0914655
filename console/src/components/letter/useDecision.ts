/** A decision: sent once, and shown as counted only when the run has counted it. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { ApiError, ask, Away, client, type ApprovalDetail } from "../../api/client";
import type { Arguments } from "./schema";

export type Verdict = "approved" | "rejected";
export type Stage = "open" | "sent" | "counted" | "elsewhere";

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
export function useDecision(approval: ApprovalDetail, me: string | undefined) {
  const queries = useQueryClient();
  const key = useRef(crypto.randomUUID());
  const [sent, setSent] = useState<{ verdict: Verdict; comment: string | null; arguments?: Arguments }>();
  const mutation = useMutation({
    mutationFn: (body: NonNullable<typeof sent>) =>
      ask(
        client.POST("/api/v1/approvals/{approval_id}/decisions", {
          params: { path: { approval_id: approval.approval_id } },
          headers: { "Idempotency-Key": key.current },
          body: {
            verdict: body.verdict,
            digest: approval.digest,
            comment: body.comment,
            arguments: body.arguments ?? null,
          },
        }),
      ),
    // Only where nothing answered, and with the same key: a decision is never counted twice.
    retry: (times, error) => times < 2 && error instanceof Away,
    onSettled: () => queries.invalidateQueries({ queryKey: ["approvals"] }),
    onError: (error) => {
      // Refused for good: another attempt is another decision.
      if (error instanceof ApiError && error.status < 500) key.current = crypto.randomUUID();
      setSent(undefined);
    },
  });
  const over = approval.status !== "pending";
  const stage: Stage = over ? (sent && approval.decided_by === me ? "counted" : "elsewhere") : sent ? "sent" : "open";
  function decide(verdict: Verdict, comment: string, changed?: Arguments) {
    if (sent || over) return;
    const body = { verdict, comment: comment.trim() || null, arguments: changed };
    setSent(body);
    mutation.mutate(body);
  }
  const error = mutation.error;
  return { stage, sent, decide, faults: faultsOf(error), error: error?.message };
}
