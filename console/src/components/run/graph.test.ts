import { expect, test } from "vitest";
import type { TimelineStep } from "../../api/client";
import { toNode } from "../timeline/model";
import { toRows } from "../timeline/rows";
import { edges, flat, vertices } from "./graph";

const at = (seconds: number) => new Date(Date.parse("2026-11-28T12:00:00Z") + seconds * 1000).toISOString();
const step = (event_id: number, from: number, to: number, over: Partial<TimelineStep> = {}) =>
  toNode({
    execution_id: "e",
    event_id,
    kind: "tool",
    name: `tool ${event_id}`,
    title: "Tool",
    status: "completed",
    attempt_count: 1,
    scheduled_at: at(from),
    closed_at: at(to),
    ...over,
  });
const END = Date.parse(at(1000));
const graph = (nodes: ReturnType<typeof toNode>[], usual: string[] = []) =>
  edges(vertices(toRows(nodes, new Set(), new Set(), END), END), usual).map(
    (e) => `${e.from.slice(2)} ${e.look} ${e.to.replace("e.", "")}`,
  );

test("sequential steps form a line", () =>
  expect(graph([step(1, 0, 1), step(2, 2, 3), step(3, 4, 5)])).toEqual(["1 after 2", "2 after 3"]));
test("concurrent steps are side by side, and the next follows both", () =>
  expect(graph([step(1, 0, 1), step(2, 2, 5), step(3, 2, 4), step(4, 6, 7)])).toEqual([
    "1 after 2",
    "1 after 3",
    "2 after 4",
    "3 after 4",
  ]));
test("an agent leads to its first turn, and the step after it follows its last", () =>
  expect(
    graph([
      step(1, 0, 9, { kind: "agent" }),
      step(2, 0, 2, { kind: "model", parent: 1 }),
      step(3, 3, 8, { parent: 1 }),
      step(4, 10, 11),
    ]),
  ).toEqual(["1 inside 2", "2 after 3", "3 after 4"]));
test("usual next steps follow the last step", () =>
  expect(graph([step(1, 0, 1)], ["usual.tool.x"])).toEqual(["1 usual usual.tool.x"]));
test("a fan-out is one node", () => {
  const many = Array.from({ length: 30 }, (_, i) => step(i + 1, i, i + 5, { name: "price" }));
  expect(flat(vertices(toRows(many, new Set(), new Set(), END), END))).toHaveLength(1);
});
