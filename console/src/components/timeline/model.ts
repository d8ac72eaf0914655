/** The timeline's model: a run's steps in milliseconds, with their attempts and waits. */
import type { Risk, TimelineStep } from "../../api/client";
import { sentence, words } from "../../format";
import type { Kind, Status } from "../../status";

export interface Try {
  n: number;
  from: number;
  /** Undefined while running. */
  to?: number;
  outcome: "completed" | "failed" | "running" | "gated" | "cancelled" | "lost";
}
export interface Node {
  key: string;
  parent: string | null;
  kind: Kind;
  name: string;
  title: string;
  /** Distinguishes siblings; only for users who can read payloads. */
  label?: string;
  status: Status;
  from: number;
  to?: number;
  tries: Try[];
  /** A wait for people or for time, drawn hatched. */
  wait?: { from: number; to?: number; word: string };
  tokens?: number;
  usd?: number | null;
  risk?: Risk;
  approval?: string;
  attempts: number;
  /** A local activity: history records its end only when the workflow task ends. */
  local: boolean;
}
export const keyOf = (s: Pick<TimelineStep, "execution_id" | "event_id">) => `${s.execution_id}.${s.event_id}`;

const ms = (t: string | null | undefined) => (t ? Date.parse(t) : undefined);
const STATUSES: Record<TimelineStep["status"], Status> = {
  scheduled: "queued",
  running: "running",
  waiting: "waiting",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed_out",
  abandoned: "cancelled",
};
export function statusOfStep(s: Pick<TimelineStep, "status" | "kind" | "approval_id" | "live_next_retry_at">): Status {
  const open = s.status === "running" || s.status === "scheduled";
  if (s.status === "waiting" && (s.approval_id || s.kind === "approval")) return "approval";
  if (s.kind === "timer" && (open || s.status === "waiting")) return "sleeping";
  if (open && s.live_next_retry_at) return "retrying";
  return STATUSES[s.status];
}
const OUTCOMES: Partial<Record<TimelineStep["status"], Try["outcome"]>> = {
  completed: "completed",
  cancelled: "cancelled",
  abandoned: "cancelled",
  failed: "failed",
  timed_out: "failed",
};
function triesOf(s: TimelineStep, from: number, to: number | undefined): Try[] {
  if (s.attempts?.length)
    return s.attempts.map((a) => ({
      n: a.n,
      from: Date.parse(a.started_at),
      to: ms(a.finished_at),
      outcome: a.status,
    }));
  // Nothing runs while it waits for people; the work starts once the approval is closed.
  if (s.gate && s.gate.status === "pending") return [];
  const began = ms(s.gate?.closed_at) ?? ms(s.started_at) ?? from;
  return [{ n: 1, from: began, to, outcome: OUTCOMES[s.status] ?? "running" }];
}
function waitOf(s: TimelineStep, from: number, to: number | undefined): Node["wait"] {
  if (s.gate) return { from: Date.parse(s.gate.opened_at), to: ms(s.gate.closed_at), word: "waiting" };
  if (s.kind === "timer") return { from, to, word: "sleeping" };
  return s.kind === "approval" ? { from, to, word: "waiting" } : undefined;
}
/** The display name of a step: `Fetch ticket`, `Turn 1`. */
export const titleOf = (s: Pick<TimelineStep, "title" | "name">) =>
  s.title === s.name ? words(s.name) : sentence(s.title);
/** Converts an API step to a timeline node. */
export function toNode(s: TimelineStep): Node {
  const from = Date.parse(s.scheduled_at);
  const to = ms(s.closed_at);
  const used = s.usage;
  return {
    key: keyOf(s),
    parent: s.parent == null ? null : `${s.execution_id}.${s.parent}`,
    kind: s.kind,
    name: s.name,
    title: titleOf(s),
    local: !!s.local,
    label: s.label ?? undefined,
    status: statusOfStep(s),
    from,
    to,
    tries: s.kind === "timer" || s.kind === "approval" ? [] : triesOf(s, from, to),
    wait: waitOf(s, from, to),
    tokens: used ? used.input_tokens + used.output_tokens : undefined,
    usd: used?.usd,
    risk: s.risk ?? undefined,
    approval: s.approval_id ?? undefined,
    attempts: s.attempt_count,
  };
}

const OPEN = new Set<Status>(["running", "waiting", "queued"]);
/** Converts all steps. If a call inside an agent waits for approval, so does the agent. */
export function toNodes(steps: TimelineStep[]): Node[] {
  const nodes = steps.map(toNode);
  const byKey = new Map(nodes.map((n) => [n.key, n]));
  for (const call of nodes.filter((n) => n.status === "approval"))
    for (let n = byKey.get(call.parent ?? ""); n && OPEN.has(n.status); n = byKey.get(n.parent ?? ""))
      n.status = "approval";
  return nodes;
}
