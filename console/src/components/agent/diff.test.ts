import { describe, expect, it } from "vitest";
import { fields, instructions, lines, unwrapped, type Version } from "./diff";
import { bodyOf } from "./draft";

const version: Version = {
  version: "a",
  source: "code",
  made_for: "a",
  models: [],
  instructions: "",
  tools: ["fetch", "reply"],
  output_schema: null,
  limits: { requests: 10, tool_calls: 15, tokens: null, usd: 0.3, seconds: null, soft: null },
  note: "",
  created_by: null,
  created_at: "2026-11-29T06:00:00Z",
};

describe("lines", () => {
  it("keeps common lines in order", () =>
    expect(lines("one\ntwo\nthree", "one\n2\nthree\nfour")).toEqual([
      ["=", "one"],
      ["-", "two"],
      ["+", "2"],
      ["=", "three"],
      ["+", "four"],
    ]));
  it("rebuilds both texts", () => {
    const [a, b] = ["x\ny\nx\nz\n", "y\nx\nx\n\nz"];
    const of = (not: string) =>
      lines(a, b)
        .filter(([s]) => s !== not)
        .map(([, t]) => t)
        .join("\n");
    expect([of("+"), of("-")]).toEqual([a, b]);
  });
});
describe("instructions", () => {
  it("joins hard-wrapped lines, and no others", () => {
    expect(
      unwrapped(
        "Refund only what is\nasked for.\n\nThen:\n- read\n  twice\n- reply\n1. end\n# Tone\nBe kind,\nbe brief.",
      ),
    ).toBe("Refund only what is asked for.\n\nThen:\n- read\n  twice\n- reply\n1. end\n# Tone\nBe kind, be brief.");
  });
  it("shows line breaks if nothing else changed", () => {
    expect(instructions("one\ntwo", "one two")).toContainEqual(["+", "one two"]);
    expect(instructions("one\ntwo", "one\ntwo")).toEqual([["=", "one two"]]);
  });
});
describe("fields", () => {
  it("contains only what differs", () =>
    expect(
      fields(version, { ...version, tools: ["fetch"], models: ["m:1"], limits: { ...version.limits, usd: 0.1 } }),
    ).toEqual([
      { field: "Tools", removed: ["reply"], added: [] },
      { field: "Models", removed: ["the worker’s default"], added: ["m:1"] },
      { field: "Cost", removed: ["0.3 USD"], added: ["0.1 USD"] },
    ]));
  it("is empty for equal versions", () => expect(fields(version, { ...version, version: "b" })).toEqual([]));
});
describe("bodyOf", () => {
  const draft = {
    instructions: "Be brief.",
    models: " openai:gpt-5 \n\nother:model",
    tools: ["fetch"],
    limits: { requests: "5", tool_calls: "", tokens: "", usd: "0.1", seconds: "", soft: "" },
    note: " shorter ",
  };
  it("sends the version that was shown, and null for empty limits", () =>
    expect(bodyOf(draft, version, version)).toEqual({
      instructions: "Be brief.",
      models: ["openai:gpt-5", "other:model"],
      tools: ["fetch"],
      output_schema: null,
      limits: { requests: 5, tool_calls: null, tokens: null, usd: 0.1, seconds: null, soft: null },
      note: "shorter",
      expected_version: "a",
    }));
  it("keeps an output schema narrower than the code's", () => {
    const narrow = { ...version, output_schema: { type: "object" } };
    expect(bodyOf(draft, narrow, version).output_schema).toEqual({ type: "object" });
  });
});
