/** A new version as typed, and as the API expects it. */
import type { AgentEdit } from "../../api/queries/agents";
import type { Limits, Version } from "./diff";

export interface Draft {
  instructions: string;
  models: string;
  tools: string[];
  limits: Record<keyof Limits, string>;
  note: string;
}
const number = (text: string) => (text.trim() === "" ? null : Number(text));

/** The full version: an omitted field would fall back to the code's, so everything in the version in use is sent again. */
export function bodyOf(draft: Draft, active: Version, code: Version): AgentEdit {
  const models = draft.models
    .split(/[\n,]/)
    .map((m) => m.trim())
    .filter(Boolean);
  const narrowed = JSON.stringify(active.output_schema) !== JSON.stringify(code.output_schema);
  return {
    instructions: draft.instructions,
    models: models.length ? models : null,
    tools: draft.tools,
    output_schema: narrowed ? active.output_schema : null,
    limits: {
      requests: number(draft.limits.requests),
      tool_calls: number(draft.limits.tool_calls),
      tokens: number(draft.limits.tokens),
      usd: number(draft.limits.usd),
      seconds: number(draft.limits.seconds),
      soft: number(draft.limits.soft),
    },
    note: draft.note.trim(),
    expected_version: active.version,
  };
}
