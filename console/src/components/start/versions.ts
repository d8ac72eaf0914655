/** The differences between two versions of a workflow, as lines of JSON with some context. */
import type { components } from "../../api/schema";
import { type Line, lines } from "../agent/diff";

type Version = Pick<components["schemas"]["WorkflowVersionDetail"], "input_schema" | "output_schema" | "handlers">;
const CONTEXT = 2;
const PARTS = { input_schema: "Input", output_schema: "Output", handlers: "Signals, queries and updates" } as const;

/** With sorted keys: workers may send the same schema in a different order. */
const toText = (value: unknown) =>
  JSON.stringify(
    value,
    (_, v: unknown) =>
      v && typeof v === "object" && !Array.isArray(v)
        ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
        : v,
    2,
  );
function near(all: Line[]): Line[] {
  const kept = all.map((_, i) => all.slice(Math.max(0, i - CONTEXT), i + CONTEXT + 1).some(([sign]) => sign !== "="));
  return all.flatMap((line, i): Line[] => (kept[i] ? [line] : kept[i - 1] ? [["=", "…"]] : []));
}

/** The parts that differ; none if only the code changed. */
export const changes = (before: Version, after: Version) =>
  (Object.keys(PARTS) as (keyof typeof PARTS)[])
    .filter((part) => toText(before[part]) !== toText(after[part]))
    .map((part) => ({ title: PARTS[part], lines: near(lines(toText(before[part]), toText(after[part]))) }));
