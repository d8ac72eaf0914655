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
/** In a row of a table. */
export function ruleWord(rule: Pick<RuleText, "effect" | "approvers">) {
  if (rule.effect === "deny") return "denied";
  return rule.effect === "allow" ? "unasked" : `asks ${approversOf(rule.approvers)}`;
}
export const timeOf = (seconds: number) =>
  span(seconds * 1000)
    .replace(".0", "")
    .replace(/ 0+ [ms]$/, "");
/** What a rule did, in its history. */
export const past = (rule: Pick<RuleText, "effect" | "approvers"> & { withdrawn?: boolean }) =>
  rule.withdrawn
    ? "Withdrawn"
    : rule.effect === "deny"
      ? "Denied"
      : rule.effect === "allow"
        ? "Allowed unasked"
        : `Asked ${approversOf(rule.approvers)}`;

/** `tool:refund_ticket@4` as its id and version. */
export function ruleRef(reference: string) {
  const [, id = reference, version = ""] = reference.match(/^(.*)@(\d+)$/) ?? [];
  return { id, version, builtIn: id.startsWith("default:") };
}
