/** The audit log in words: what was requested, and the outcome. */
import type { Command } from "./api/client";
import type { components } from "./api/schema";

type Kind = components["schemas"]["CommandKind"];
export type Outcome = components["schemas"]["CommandStatus"];

/** "cancelled" and "cancel": for what was done, and for what was only attempted. */
type Verb = readonly [done: string, to: string];
const set: Verb = ["set", "set"];
const off: Verb = ["switched off", "switch off"];
const on: Verb = ["switched on", "switch on"];
const VERBS: Record<Kind, Verb> = {
  "run.start": ["started", "start"],
  "run.cancel": ["cancelled", "cancel"],
  "run.terminate": ["terminated", "terminate"],
  "run.pause": ["paused", "pause"],
  "run.resume": ["resumed", "resume"],
  "run.interrupt": ["interrupted", "interrupt"],
  "run.signal": ["sent", "send"],
  "run.update": ["sent", "send"],
  "approval.decide": ["decided", "decide"],
  "approval.propose": ["proposed a change of", "propose a change of"],
  "tool.policy": set,
  "tool.disable": off,
  "tool.enable": on,
  "agent.policy": set,
  "agent.disable": off,
  "agent.enable": on,
  "workflow.disable": off,
  "workflow.enable": on,
  "agent.put": ["wrote a version of", "write a version of"],
  "agent.use": ["chose", "choose"],
  "policy.put": set,
  "policy.withdraw": ["withdrew", "withdraw"],
  "principal.put": ["set the roles and groups of", "set the roles and groups of"],
  "principal.disable": ["disabled", "disable"],
  "principal.enable": ["enabled", "enable"],
  "key.create": ["created", "create"],
  "key.revoke": ["revoked", "revoke"],
  "session.code": ["created", "create"],
  "session.open": ["signed in", "sign in"],
  "session.close": ["signed out", "sign out"],
  "session.end": ["ended", "end"],
  "signing_key.retire": ["retired", "retire"],
  "signing_key.revoke": ["revoked", "revoke"],
  "login.put": ["opened", "open"],
  "login.close": ["closed", "close"],
  "grid.move": ["renamed", "rename"],
  "command.confirm": ["confirmed", "confirm"],
  "command.withdraw": ["withdrew", "withdraw"],
  "view.put": ["saved", "save"],
  "view.delete": ["deleted", "delete"],
};
const VERDICTS: Record<string, Verb> = { approved: ["approved", "approve"], rejected: ["rejected", "reject"] };
const EFFECTS: Record<string, string> = { allow: "allow", deny: "deny", require_approval: "require approval" };

/** The title of a workflow, tool or agent, for its name. */
export type Titles = (noun: "workflow" | "tool" | "agent", name: string) => string;

/** What the command acts on. */
function object(c: Command, titles: Titles): string {
  const name = c.target ?? "";
  const named = (noun: string) => (name ? `the ${noun} ${name}` : `a ${noun}`);
  const rule = c.what && EFFECTS[c.what] ? `, to ${EFFECTS[c.what]}` : "";
  const [noun, act] = c.kind.split(".") as [string, string];
  if (act === "signal" || act === "update") return c.what ? `the ${act} ${c.what}` : `a ${act}`;
  if (c.kind === "run.interrupt") return "the agent of a run";
  if (noun === "run") return c.target ? titles("workflow", c.target) : "a run";
  if (noun === "approval") return "a request";
  if (noun === "tool" || noun === "agent" || noun === "workflow") {
    const title = name ? titles(noun, name) : `an unknown ${noun}`;
    if (act === "policy") return `the rule of ${title}${rule}`;
    return act === "use" ? `version ${(c.what ?? "").slice(0, 8)} of ${title}` : title;
  }
  if (noun === "policy") return `${named("rule")}${act === "put" ? rule : ""}`;
  if (noun === "principal") return name || "a principal";
  if (noun === "key") return "an API key";
  if (noun === "session") return act === "code" ? "a sign-in link" : act === "end" ? "a session" : "";
  if (noun === "signing_key") return "a signing key";
  if (noun === "login") return named("login");
  if (noun === "view") return "a view";
  return noun === "grid" ? named("grid") : "a proposal";
}

/** What the principal did, without the name: "cancelled a run"; if it was refused, "tried to cancel a run". */
export function sentenceOf(c: Command, titles: Titles = (_, name) => name): string {
  const [done, to] = (c.kind === "approval.decide" && VERDICTS[c.what ?? ""]) || VERBS[c.kind];
  const verb =
    c.status === "refused" || c.status === "failed"
      ? `tried to ${to}`
      : c.status === "proposed"
        ? `proposes to ${to}`
        : c.status === "pending"
          ? `asks to ${to}`
          : done;
  return `${verb} ${object(c, titles)}`.trimEnd();
}

/** The given reason, in quotes, otherwise why the command was refused. */
export function why(c: Command): string | undefined {
  if (c.reason) return `“${c.reason}”`;
  const message = c.outcome?.message ?? c.outcome?.code;
  return typeof message === "string" ? message : undefined;
}

/** The channel that the command came through. */
export const via = (c: Command): string =>
  c.session_id ? "console" : c.route.startsWith("agentgrid") ? "server" : "API";

/** Command kinds, grouped for filtering. */
export const GROUPS: Record<string, { word: string; kinds: Kind[] }> = {
  decisions: { word: "Decisions", kinds: ["approval.decide", "approval.propose"] },
  runs: {
    word: "Runs",
    kinds: [
      "run.start",
      "run.cancel",
      "run.terminate",
      "run.pause",
      "run.resume",
      "run.interrupt",
      "run.signal",
      "run.update",
      "view.put",
      "view.delete",
    ],
  },
  rules: {
    word: "Rules and switches",
    kinds: [
      "tool.policy",
      "agent.policy",
      "policy.put",
      "policy.withdraw",
      "tool.disable",
      "tool.enable",
      "agent.disable",
      "agent.enable",
      "workflow.disable",
      "workflow.enable",
      "agent.put",
      "agent.use",
    ],
  },
  people: {
    word: "People and keys",
    kinds: [
      "principal.put",
      "principal.disable",
      "principal.enable",
      "key.create",
      "key.revoke",
      "session.end",
      "signing_key.retire",
      "signing_key.revoke",
      "login.put",
      "login.close",
      "grid.move",
      "command.confirm",
      "command.withdraw",
    ],
  },
  sessions: { word: "Sign-ins", kinds: ["session.code", "session.open", "session.close"] },
};
export const kindsOf = (group: string | undefined): Kind[] | undefined =>
  group === undefined
    ? undefined
    : (GROUPS[group]?.kinds ?? (Object.hasOwn(VERBS, group) ? [group as Kind] : undefined));

/** Outcomes, grouped for filtering, by their name in the URL. */
export const OUTCOMES: Record<string, { word: string; status: Outcome[] }> = {
  open: { word: "Open", status: ["proposed", "pending", "delivered"] },
  wrong: { word: "Refused or failed", status: ["refused", "failed"] },
};

/** Link to what the command acted on. */
export function placeOf(c: Command): { to: string; word: string } | undefined {
  const noun = c.kind.split(".")[0]!;
  if (c.approval_id) return { to: `/approvals/${c.approval_id}`, word: c.approval_id.slice(-8) };
  if (c.run_id) return { to: `/runs/${c.run_id}`, word: c.run_id.slice(-8) };
  if (c.target && ["tool", "agent", "workflow"].includes(noun))
    return { to: `/${noun}s/${encodeURIComponent(c.target)}`, word: c.target };
  return undefined;
}
