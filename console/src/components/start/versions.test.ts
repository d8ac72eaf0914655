import { expect, it } from "vitest";
import { changes } from "./versions";

const version = (properties: Record<string, unknown>, more = {}) => ({
  input_schema: { type: "object", properties },
  output_schema: null,
  handlers: null,
  ...more,
});

it("shows the differing lines with context, regardless of key order", () => {
  const before = version({ a: { type: "string" }, b: { type: "string" }, c: { type: "string" }, d: 1, e: 2, f: 3 });
  const after = version({ f: 3, a: { type: "integer" }, b: { type: "string" }, c: { type: "string" }, d: 1, e: 2 });
  const [input, ...others] = changes(before, after);
  expect(others).toEqual([]);
  expect(input!.title).toBe("Input");
  expect(input!.lines.filter(([sign]) => sign !== "=").map(([sign, line]) => sign + line.trim())).toEqual([
    '-"type": "string"',
    '+"type": "integer"',
  ]);
  expect(input!.lines.length).toBeLessThan(9);
});
it("reports an added output, and nothing if only the code differs", () => {
  expect(changes(version({}), version({}, { output_schema: { type: "string" } })).map((c) => c.title)).toEqual([
    "Output",
  ]);
  expect(changes(version({}), version({}))).toEqual([]);
});
