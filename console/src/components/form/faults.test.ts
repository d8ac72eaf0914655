import { expect, test } from "vitest";
import awkward from "./awkward.json";
import reference from "./reference.json";
import { check, placeOf, split, stillValid, toErrorSchema } from "./faults";

const messagesOf = (input: unknown, schema: unknown) =>
  Object.fromEntries(check(input, schema).map((f) => [f.pointer, f.message]));

test("each fault is at its path, in words", () => {
  const content = reference.content_publish;
  expect(messagesOf({ title: "a", points: [], settle_seconds: -1, zz: 1 }, content)).toEqual({
    "/title": "Needs at least 3 characters",
    "/points": "Needs at least 1",
    "/author": "Required",
    "/settle_seconds": "Must be at least 0",
    "/zz": "Unknown field",
  });
  expect(messagesOf({ week: "now", areas: ["sales", "x"] }, reference.weekly_digest)).toEqual({
    "/week": "Doesn’t have the expected format",
    "/areas/1": "Isn’t one of the choices",
  });
});
test("in a union only the intended kind has faults, separately for each list item", () => {
  const schema = { type: "array", items: awkward.properties.pay, $defs: awkward.$defs };
  expect(messagesOf([{ kind: "card" }, { kind: "bank", holder: null }], schema)).toEqual({
    "/0/last4": "Required",
    "/1/iban": "Required",
  });
  expect(messagesOf({ who: [] }, { ...awkward, required: [] })).toEqual({ "/who": expect.stringMatching(/^Must be/) });
});
test("formats that the server accepts aren't refused", () => {
  const at = { type: "string", format: "date-time" };
  expect(check("2026-11-29T10:00", at)).toEqual([]);
  expect(check("tomorrow", { type: "string", format: "date" })).toHaveLength(1);
});
test("an unreadable schema leaves the check to the server", () => {
  expect(check("a", { type: "string", pattern: "(?P<python>a)" })).toEqual([]);
});
test("the server's faults are split into the input's, at the missing field itself, and the rest", () => {
  const { input, rest } = split([
    { pointer: "/input", message: '"ticket_id" is a required property' },
    { pointer: "/input/points/0", message: '3 is not of type "string"' },
    { pointer: "/start_at", message: "too far" },
  ]);
  expect(input).toEqual([
    { pointer: "/ticket_id", message: "Required" },
    { pointer: "/points/0", message: '3 is not of type "string"' },
  ]);
  expect(rest).toEqual([{ pointer: "/start_at", message: "too far" }]);
});
test("a server fault disappears once its value changes, the others stay", () => {
  const faults = [
    { pointer: "/a", message: "x" },
    { pointer: "/b/0", message: "y" },
  ];
  expect(stillValid(faults, { a: 1, b: [1] }, { a: 2, b: [1] })).toEqual([faults[1]]);
});
test("field names can't pollute the object prototype", () => {
  toErrorSchema([{ pointer: "/__proto__/polluted", message: "x" }]);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
});
test("paths read as words", () => {
  expect(placeOf("/order_lines/1/amount_cents")).toBe("Order lines 2, Amount cents");
  expect(placeOf("")).toBe("The input");
});
