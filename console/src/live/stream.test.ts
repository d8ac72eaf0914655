import { expect, test } from "vitest";
import type { Timeline } from "../api/client";
import { withSteps } from "./stream";

const timeline = {
  run_id: "r",
  steps: [
    {
      execution_id: "e",
      event_id: 5,
      title: "Sleep 3 s",
      name: "timer",
      kind: "timer",
      label: "soon",
      status: "running",
      scheduled_at: "2026-11-28T12:00:00Z",
      attempt_count: 1,
    },
  ],
} as Timeline;
const changed = {
  execution_id: "e",
  event_id: 5,
  title: null,
  name: "timer",
  kind: "timer",
  status: "completed",
  closed_at: "2026-11-28T12:00:03Z",
  attempts: 1,
  error: null,
} as never;
const added = {
  execution_id: "e",
  event_id: 9,
  title: "Fetch",
  name: "fetch",
  kind: "tool",
  status: "running",
  attempts: 1,
  error: null,
} as never;

test("an event changes a step where it is, and what it doesn’t hold stays", () => {
  const after = withSteps(timeline, [changed])!;
  expect(after.steps).toHaveLength(1);
  expect(after.steps[0]).toMatchObject({
    status: "completed",
    title: "Sleep 3 s",
    label: "soon",
    closed_at: "2026-11-28T12:00:03Z",
  });
});
test("a step that is new comes last, the same event twice changes nothing", () => {
  const once = withSteps(timeline, [added])!;
  expect(once.steps.map((s) => s.event_id)).toEqual([5, 9]);
  expect(withSteps(once, [added])).toEqual(once);
});
test("without a timeline there is nothing to change", () => expect(withSteps(undefined, [changed])).toBeUndefined());
