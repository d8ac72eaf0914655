import { describe, expect, test } from "vitest";
import type { StepGroup, TimelineStep } from "../../api/client";
import { toNode, type Node } from "./model";
import { FANOUT, groupOf, toRows } from "./rows";
import { makeScale } from "./scale";

const START = Date.parse("2026-11-28T12:00:00Z");
const at = (seconds: number) => new Date(START + seconds * 1000).toISOString();
const step = (event_id: number, given: Partial<TimelineStep> = {}): TimelineStep => ({
  execution_id: "e",
  event_id,
  kind: "tool",
  name: "fetch",
  title: "Fetch",
  status: "completed",
  attempt_count: 1,
  scheduled_at: at(event_id),
  started_at: at(event_id),
  closed_at: at(event_id + 1),
  ...given,
});
const nodes = (...steps: TimelineStep[]): Node[] => steps.map(toNode);
const rows = (given: Node[], closed: string[] = [], opened: string[] = []) =>
  toRows(given, new Set(closed), new Set(opened), START + 100_000);

describe("attempts and waits", () => {
  test("every attempt of a retried step is a bar, and the last one is running", () => {
    const attempts: TimelineStep["attempts"] = [
      { n: 1, status: "failed", started_at: at(1), finished_at: at(2), error: { type: "Down" } },
      { n: 2, status: "running", started_at: at(4) },
    ];
    const node = toNode(step(1, { status: "running", closed_at: undefined, attempts, attempt_count: 2 }));
    expect(node.tries.map((t) => [t.outcome, t.from - START, t.to && t.to - START])).toEqual([
      ["failed", 1000, 2000],
      ["running", 4000, undefined],
    ]);
  });
  test("a call that needs approval waits until it is closed, and runs after that", () => {
    const gate = {
      approval_id: "a",
      status: "approved" as const,
      approvers: ["leads"],
      opened_at: at(2),
      closed_at: at(60),
    };
    const node = toNode(step(1, { gate, approval_id: "a", closed_at: at(61) }));
    expect(node.wait).toEqual({ from: START + 2000, to: START + 60_000, word: "waiting" });
    expect(node.tries[0]).toMatchObject({ from: START + 60_000, to: START + 61_000, outcome: "completed" });
  });
  test("a call that waits for people has no bar, and needs approval", () => {
    const gate = { approval_id: "a", status: "pending" as const, approvers: ["leads"], opened_at: at(2) };
    const node = toNode(step(1, { gate, approval_id: "a", status: "waiting", closed_at: undefined }));
    expect([node.tries, node.status]).toEqual([[], "approval"]);
  });
  test("a step in backoff is retrying, a timer is sleeping", () => {
    expect(toNode(step(1, { status: "running", live_next_retry_at: at(9), closed_at: undefined })).status).toBe(
      "retrying",
    );
    expect(toNode(step(1, { kind: "timer", status: "scheduled", closed_at: undefined })).status).toBe("sleeping");
  });
});

describe("nesting and folding", () => {
  const agent = [
    step(1, { kind: "agent", name: "triager" }),
    step(2, { kind: "model", name: "triager", parent: 1 }),
    step(3, { parent: 1 }),
    step(4, { kind: "agent", name: "checker", parent: 1 }),
    step(5, { kind: "model", name: "checker", parent: 4 }),
  ];
  test("an agent is above its turns and calls, including those of an agent it calls", () => {
    expect(rows(nodes(...agent)).map((r) => r.depth)).toEqual([0, 1, 1, 1, 2]);
  });
  test("a collapsed step hides all its descendants", () => {
    expect(rows(nodes(...agent), ["e.1"]).map((r) => r.key)).toEqual(["e.1"]);
  });
  test("a step whose agent isn't in the response is at the top level", () => {
    expect(rows(nodes(step(9, { parent: 1 })))[0]).toMatchObject({ depth: 0 });
  });
  const many = Array.from({ length: FANOUT + 3 }, (_, i) => step(i + 1, i === 4 ? { status: "failed" } : {}));
  test("equal siblings are one row with counts; expanded, it shows failures first and the rest on request", () => {
    const [row] = rows(nodes(...many));
    expect(row).toMatchObject({ type: "fanout", fanout: { count: FANOUT + 3, done: FANOUT + 2, failed: 1 } });
    const opened = rows(nodes(...many), [], [row!.key]);
    expect(opened.map((r) => r.type)).toEqual(["fanout", "step", "rest"]);
    expect(rows(nodes(...many), [], [row!.key, `rest.${row!.key}`])).toHaveLength(FANOUT + 5);
  });
  test("fewer equal siblings stay separate rows", () => {
    expect(rows(nodes(...many.slice(0, FANOUT - 1)))).toHaveLength(FANOUT - 1);
  });
  test("a group from the server keeps its counts and bins", () => {
    const group: StepGroup = {
      execution_id: "e",
      kind: "tool",
      name: "price_item",
      first: 5,
      last: 9000,
      count: 3000,
      done: 2998,
      failed: 2,
      open: 0,
      beneath: 0,
      first_at: at(0),
      last_at: at(60),
      bins: [
        { done: 1500, failed: 2, open: 0 },
        { done: 1498, failed: 0, open: 0 },
      ],
    };
    expect(groupOf(group)).toMatchObject({ title: "Price item", bins: [1502, 1498], failedBins: [true, false] });
  });
});

describe("the axis", () => {
  const work = nodes(step(0, { closed_at: at(1) }), step(600, { closed_at: at(601) }));
  const end = START + 601_000;
  test("a long idle gap is folded, and both ends stay in order", () => {
    const scale = makeScale(work, START, end, true);
    expect(scale.segments.map((s) => s.idle)).toEqual([false, true, false]);
    const xs = [0, 1, 300, 600, 601].map((s) => scale.x(START + s * 1000));
    expect(xs).toEqual([...xs].sort((a, b) => a - b));
    expect([xs[0], xs[4]]).toEqual([0, 1]);
  });
  test("without folding the axis is linear", () => {
    const scale = makeScale(work, START, end, false);
    expect(scale.segments).toHaveLength(1);
    expect(scale.x(START + 300_500)).toBeCloseTo(0.5);
  });
  test("a gap under 30 seconds isn't folded", () => {
    const short = nodes(step(0, { closed_at: at(1) }), step(20, { closed_at: at(21) }));
    expect(makeScale(short, START, START + 21_000, true).segments).toHaveLength(1);
  });
  test("a run that only waits also has an axis", () => {
    const scale = makeScale([], START, START + 3_600_000, true);
    expect(scale.segments.at(-1)!.x1).toBeCloseTo(1);
    expect(Number.isFinite(scale.x(START + 1000))).toBe(true);
  });
  test("there are only a few ticks, starting at zero", () => {
    const scale = makeScale(work, START, end, false);
    expect(scale.ticks[0]).toEqual({ t: 0, x: 0 });
    expect(scale.ticks.length).toBeLessThanOrEqual(8);
  });
});
