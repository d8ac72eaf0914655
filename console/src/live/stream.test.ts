import { QueryClient } from "@tanstack/react-query";
import { afterEach, expect, test, vi } from "vitest";
import type { Timeline } from "../api/client";
import { start, withSteps } from "./stream";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

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

test("an event updates a step in place, and fields it doesn't carry stay", () => {
  const after = withSteps(timeline, [changed])!;
  expect(after.steps).toHaveLength(1);
  expect(after.steps[0]).toMatchObject({
    status: "completed",
    title: "Sleep 3 s",
    label: "soon",
    closed_at: "2026-11-28T12:00:03Z",
  });
});
test("a new step is appended, and applying an event twice is idempotent", () => {
  const once = withSteps(timeline, [added])!;
  expect(once.steps.map((s) => s.event_id)).toEqual([5, 9]);
  expect(withSteps(once, [added])).toEqual(once);
});
test("without a timeline there is nothing to change", () => expect(withSteps(undefined, [changed])).toBeUndefined());

test("under load the overview is refetched at most every two seconds and after the last change, and workflows too", () => {
  vi.useFakeTimers();
  const port = { start() {}, postMessage() {}, onmessage: (() => {}) as (event: { data: unknown }) => void };
  vi.stubGlobal("SharedWorker", function (this: { port: typeof port }) {
    this.port = port;
  });
  vi.stubGlobal("navigator", { locks: { request: () => Promise.resolve() } });
  const refetched: number[] = [];
  const counted: number[] = []; // when the workflows were
  const queries = new QueryClient();
  vi.spyOn(queries, "invalidateQueries").mockImplementation((filters) => {
    if (filters?.queryKey?.[0] === "overview") refetched.push(Date.now());
    if (filters?.queryKey?.[0] === "workflows") counted.push(Date.now());
    return Promise.resolve();
  });
  start(queries);
  let last = 0;
  for (let n = 0; n < 500; n++) {
    vi.advanceTimersByTime(20); // ten seconds
    for (const kind of ["run", "approval", "policy"])
      port.onmessage({ data: { state: "live", kind, data: { kind, run_id: "r", data: {} } } });
    last = Date.now();
  }
  vi.advanceTimersByTime(5_000);
  expect(refetched.length).toBeGreaterThan(3);
  for (const [n, at] of refetched.slice(1).entries()) expect(at - refetched[n]!).toBeGreaterThanOrEqual(2_000);
  expect(refetched.at(-1)).toBeGreaterThan(last);

  counted.length = 0;
  port.onmessage({ data: { state: "live", kind: "run", data: { kind: "run", run_id: "r", data: {} } } });
  vi.advanceTimersByTime(5_000);
  expect(counted.length).toBe(1); // how many runs of each are open has changed
});
