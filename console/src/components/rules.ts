/** Rules and switches in words. */
import type { AgentDetail, Tool } from "../api/client";
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

export interface May {
  name: string;
  title: string;
  risk: Tool["risk"] | "agent" | null;
  rule: string | null;
  approvers: string[];
  /** Why never. */
  why: string;
}
/** What an agent may do without asking, on asking and never, under the rules and switches of this moment. */
export function mayDo(
  agent: Pick<AgentDetail, "tools" | "version">,
  tools: Tool[],
  agents: { name: string; state: string }[],
) {
  const unasked: May[] = [];
  const asking: May[] = [];
  const never: May[] = [];
  for (const t of agent.tools) {
    const tool = tools.find((x) => x.name === t.name);
    const other = agents.find((x) => x.name === t.name);
    const may = {
      name: t.name,
      title: t.title ?? t.name,
      risk: t.kind === "agent" ? ("agent" as const) : t.risk,
      rule: t.rule,
      approvers: t.approvers,
    };
    const off = tool?.switch.disabled ? tool.switch : undefined;
    const why = !t.allowed
      ? "not in the version in use"
      : off
        ? `switched off${off.created_by ? ` by ${off.created_by}` : ""}${off.reason ? `: ${off.reason}` : ""}`
        : t.kind === "agent" && other?.state === "disabled"
          ? "switched off"
          : t.effect === "deny"
            ? `denied by ${t.rule}`
            : t.kind === "tool" && t.effect === null
              ? "no worker has registered it"
              : "";
    if (why) never.push({ ...may, why });
    else (t.effect === "require_approval" ? asking : unasked).push({ ...may, why });
  }
  return { unasked, asking, never };
}
