/** What the timeline draws: a run's steps in milliseconds, with their tries and waits. */
import type { Risk, Step } from "../../api/client";
import type { Kind, Status } from "../../status";

export interface Try {
  n: number;
  from: number;
  /** Undefined while it runs. */
  to?: number;
  outcome: "completed" | "failed" | "running" | "gated" | "cancelled";
  error?: string;
  worker?: string;
}
export interface Node {
  key: string;
  parent: string | null;
  kind: Kind;
  name: string;
  title: string;
  /** What tells siblings apart, for those who may read payloads. */
  label?: string;
  status: Status;
  from: number;
  to?: number;
  tries: Try[];
  /** A wait for a person or for time, drawn hatched. */
  wait?: { from: number; to?: number; word: string };
  tokens?: number;
  usd?: number | null;
  risk?: Risk;
  approval?: string;
  attempts: number;
}
export const keyOf = (s: Pick<Step, "execution_id" | "event_id">) => `${s.execution_id}.${s.event_id}`;

const ms = (t: string | null | undefined) => (t ? Date.parse(t) : undefined);
const STATUSES: Record<Step["status"], Status> = {
  scheduled: "queued",
  running: "running",
  waiting: "waiting",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed_out",
  abandoned: "cancelled",
};
export function statusOfStep(
  s: Pick<Step, "status" | "kind" | "approval_id" | "live_attempt" | "live_next_retry_at">,
): Status {
  if (s.status === "waiting" && (s.approval_id || s.kind === "approval")) return "approval";
  if (s.kind === "timer" && (s.status === "waiting" || s.status === "scheduled" || s.status === "running"))
    return "sleeping";
  if ((s.status === "running" || s.status === "scheduled") && s.live_next_retry_at) return "retrying";
  return STATUSES[s.status];
}
function triesOf(s: Step, from: number, to: number | undefined): Try[] {
  const outcome =
    s.status === "completed"
      ? "completed"
      : to === undefined
        ? "running"
        : s.status === "cancelled" || s.status === "abandoned"
          ? "cancelled"
          : "failed";
  return [
    {
      n: s.attempts || 1,
      from: ms(s.started_at) ?? from,
      to,
      outcome,
      error: s.error?.message ?? undefined,
      worker: s.worker ?? undefined,
    },
  ];
}
/** A step of the API as the timeline has it. */
export function toNode(s: Step): Node {
  const from = Date.parse(s.scheduled_at);
  const to = ms(s.closed_at);
  const status = statusOfStep(s);
  const waits = status === "approval" || s.kind === "timer" || s.kind === "approval";
  const used = s.usage;
  return {
    key: keyOf(s),
    parent: s.parent == null ? null : `${s.execution_id}.${s.parent}`,
    kind: s.kind,
    name: s.name,
    title: s.title ?? s.name,
    status,
    from,
    to,
    tries: waits ? [] : triesOf(s, from, to),
    wait: waits ? { from, to, word: s.kind === "timer" ? "sleeps" : "waits" } : undefined,
    tokens: used ? used.input_tokens + used.output_tokens : undefined,
    usd: used?.usd,
    approval: s.approval_id ?? undefined,
    attempts: s.attempts,
  };
}
