/** The differences between two versions of an agent. */
import type { components } from "../../api/schema";

export type Version = components["schemas"]["AgentVersionOut"];
export type Limits = components["schemas"]["LimitsOut"];
export type Line = ["=" | "+" | "-", string];
export interface Field {
  field: string;
  removed: string[];
  added: string[];
}

const MOST = 1_000; // lines; a longer text is shown as fully replaced

/** The lines of both texts in order: unchanged, removed, added. */
export function lines(before: string, after: string): Line[] {
  const a = before.split("\n");
  const b = after.split("\n");
  if (a.length > MOST || b.length > MOST) return [...a.map((t): Line => ["-", t]), ...b.map((t): Line => ["+", t])];
  // The longest common subsequence from each pair of positions to the end.
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      common[i]![j] = a[i] === b[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  const result: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length)
    if (i < a.length && j < b.length && a[i] === b[j]) {
      result.push(["=", a[i]!]);
      i++;
      j++;
    } else if (i < a.length && (j === b.length || common[i + 1]![j]! >= common[i]![j + 1]!))
      result.push(["-", a[i++]!]);
    else result.push(["+", b[j++]!]);
  return result;
}

/** A line that starts a new block: a list item, a heading, a quote, a table, a tag, code. */
const OWN = /^(\s|[-*+•#>|<`]|\d+[.)])/;
/** A line that is a block on its own. */
const ALONE = /^\s*[#<|`]/;
/** Joins the lines of hard-wrapped paragraphs: one line per paragraph. */
export function unwrapped(text: string): string {
  const result: string[] = [];
  for (const line of text.split("\n")) {
    const last = result.at(-1);
    if (!last?.trim() || !line.trim() || OWN.test(line) || ALONE.test(last)) result.push(line);
    else result[result.length - 1] = `${last.trimEnd()} ${line}`;
  }
  return result.join("\n");
}
/** The diff of two versions of instructions: by paragraph, or by line if only line breaks changed. */
export function instructions(before: string, after: string): Line[] {
  const result = lines(unwrapped(before), unwrapped(after));
  return before !== after && result.every(([sign]) => sign === "=") ? lines(before, after) : result;
}

export const LIMITS: Record<keyof Limits, { word: string; unit: string }> = {
  usd: { word: "Cost", unit: "USD" },
  requests: { word: "Model turns", unit: "turns" },
  tool_calls: { word: "Tool calls", unit: "calls" },
  tokens: { word: "Tokens", unit: "tokens" },
  seconds: { word: "Time", unit: "s" },
  soft: { word: "Asks to continue at", unit: "of a limit" },
};
const limitText = (name: keyof Limits, n: number | null) =>
  n === null ? "no limit" : name === "soft" ? `${n * 100}%` : `${n} ${LIMITS[name].unit}`;
const without = (xs: string[], ys: string[]) => xs.filter((x) => !ys.includes(x));

/** The fields that differ, except the instructions. */
export function fields(before: Version, after: Version): Field[] {
  const result: Field[] = [];
  const add = (field: string, removed: string[], added: string[]) =>
    (removed.length || added.length) && result.push({ field, removed, added });
  add("Tools", without(before.tools, after.tools), without(after.tools, before.tools));
  if (before.models.join() !== after.models.join())
    add(
      "Models",
      [before.models.join(", ") || "the worker’s default"],
      [after.models.join(", ") || "the worker’s default"],
    );
  for (const name of Object.keys(LIMITS) as (keyof Limits)[])
    if (before.limits[name] !== after.limits[name])
      add(LIMITS[name].word, [limitText(name, before.limits[name])], [limitText(name, after.limits[name])]);
  if (JSON.stringify(before.output_schema) !== JSON.stringify(after.output_schema))
    add("Output", [], ["a different schema"]);
  return result;
}
