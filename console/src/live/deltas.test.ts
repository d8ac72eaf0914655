import { expect, test } from "vitest";
import { part } from "./delta.fixture";
import { openTurns, applyDeltas } from "./deltas";

test("deltas are joined into one text, with the tools that the model calls", () => {
  const [turn] = applyDeltas([], [part(1, "I loo"), part(2, "k it up."), part(3, "", { tools: ["search"] })]);
  expect(turn).toMatchObject({ text: "I look it up.", tools: ["search"], incomplete: false });
});
test("a missing delta is reported", () => {
  expect(applyDeltas([], [part(1, "a"), part(3, "c")])[0]).toMatchObject({ text: "ac", incomplete: true });
  expect(applyDeltas([], [part(7, "late")])[0]!.incomplete).toBe(true);
});
test("a new attempt, or a sequence number not above the last, starts over", () => {
  expect(applyDeltas([], [part(1, "old"), part(1, "new", { attempt: 2 })])[0]).toMatchObject({
    text: "new",
    incomplete: false,
  });
  expect(applyDeltas([], [part(1, "old"), part(2, "er"), part(1, "new")])[0]).toMatchObject({
    text: "new",
    incomplete: false,
  });
});
test("a delta of an earlier attempt is ignored", () => {
  expect(applyDeltas([], [part(1, "new", { attempt: 2 }), part(5, "old")])[0]!.text).toBe("new");
});
test("an ended turn is removed, others stay", () => {
  const both = applyDeltas([], [part(1, "a"), part(1, "b", { turn: 2 })]);
  expect(openTurns(both, [{ execution_id: "e", name: "triager", turn: 1 }]).map((w) => w.text)).toEqual(["b"]);
});
