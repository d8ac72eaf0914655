/** Rules and switches in words. */
import type { components } from "../api/schema";
import { span } from "../format";

type Schemas = components["schemas"];
export type Effect = Schemas["Effect"];
export interface RuleText {
  effect: Effect;
  approvers: string[];
  expires_seconds: number;
  changes: Schemas["Changes"];
  title: string;
}
const ANYBODY = "role:approver";

/** `support-leads, mara or any approver`. */
export function approversOf(approvers: string[]) {
  const named = approvers.filter((a) => a !== ANYBODY);
  const all = approvers.includes(ANYBODY) ? [...named, "any approver"] : named;
  return all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} or ${all.at(-1)}`;
}
/** `needs approval`, from any approver, or `needs approval from support-leads`. */
function approvalBy(approvers: string[], verb: string) {
  return approvers.join() === ANYBODY ? `${verb} approval` : `${verb} approval from ${approversOf(approvers)}`;
}
/** A rule in a few words, for table rows. */
export function ruleWord(rule: Pick<RuleText, "effect" | "approvers">) {
  if (rule.effect === "deny") return "denied";
  return rule.effect === "allow" ? "allowed" : approvalBy(rule.approvers, "needs");
}
export const timeOf = (seconds: number) =>
  span(seconds * 1000)
    .replace(".0", "")
    .replace(/ 0+ [ms]$/, "");
/** A rule's version in words, for its history. */
export const pastRuleText = (rule: Pick<RuleText, "effect" | "approvers"> & { withdrawn?: boolean }) =>
  rule.withdrawn
    ? "Withdrawn"
    : rule.effect === "deny"
      ? "Denied"
      : rule.effect === "allow"
        ? "Allowed"
        : approvalBy(rule.approvers, "Needed");

/** `tool:refund_ticket@4` as its id and version. */
export function ruleRef(reference: string) {
  const [, id = reference, version = ""] = reference.match(/^(.*)@(\d+)$/) ?? [];
  return { id, version, builtIn: id.startsWith("default:") };
}

export const UNITS = { minutes: 60, hours: 3600, days: 86_400 } as const;
export type Unit = keyof typeof UNITS;
/** A rule as typed in the form. */
export interface RuleDraft {
  effect: Effect;
  approvers: string;
  time: string;
  unit: Unit;
  two: boolean;
}
const unitOf = (seconds: number): Unit =>
  seconds % UNITS.days === 0 ? "days" : seconds % UNITS.hours === 0 ? "hours" : "minutes";
export function draftOf(rule: RuleText): RuleDraft {
  const unit = unitOf(rule.expires_seconds);
  return {
    effect: rule.effect,
    approvers: rule.approvers.join(", "),
    time: String(rule.expires_seconds / UNITS[unit]),
    unit,
    two: rule.changes === "second_person",
  };
}
/** The typed rule as the API expects it. */
export const contentOf = (draft: RuleDraft) => ({
  effect: draft.effect,
  approvers: draft.approvers
    .split(/[,\n]/)
    .map((a) => a.trim())
    .filter(Boolean),
  expires_seconds: Number(draft.time) * UNITS[draft.unit],
  changes: draft.two ? ("second_person" as const) : ("one_person" as const),
});
