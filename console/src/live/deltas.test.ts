import { expect, test } from "vitest";
import { part } from "./delta.fixture";
import { unended, written } from "./deltas";

test("parts become one text, with the tools that the model asks for", () => {
  const [turn] = written([], [part(1, "I loo"), part(2, "k it up."), part(3, "", { tools: ["search"] })]);
  expect(turn).toMatchObject({ text: "I look it up.", tools: ["search"], torn: false });
});
test("a missing part is named", () => {
  expect(written([], [part(1, "a"), part(3, "c")])[0]).toMatchObject({ text: "ac", torn: true });
  expect(written([], [part(7, "late")])[0]!.torn).toBe(true);
});
test("another attempt, and a number that is not above the last, begin again", () => {
  expect(written([], [part(1, "old"), part(1, "new", { attempt: 2 })])[0]).toMatchObject({ text: "new", torn: false });
  expect(written([], [part(1, "old"), part(2, "er"), part(1, "new")])[0]).toMatchObject({ text: "new", torn: false });
});
test("a part of an attempt that is over changes nothing", () => {
  expect(written([], [part(1, "new", { attempt: 2 }), part(5, "old")])[0]!.text).toBe("new");
});
test("a turn that has ended is left out, others stay", () => {
  const both = written([], [part(1, "a"), part(1, "b", { turn: 2 })]);
  expect(unended(both, [{ execution_id: "e", name: "triager", turn: 1 }]).map((w) => w.text)).toEqual(["b"]);
});
