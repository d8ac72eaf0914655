// @vitest-environment jsdom
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Run } from "../api/client";
import type { RunFilter } from "../api/queries/runs";
import type { LiveEvent } from "../live/stream";
import { useFresh } from "./useFresh";

let happens: (events: LiveEvent[]) => void;
vi.mock("../live/stream", () => ({ useEvents: (listener: typeof happens) => (happens = listener) }));
afterEach(cleanup);

const run = (run_id: string, updated: number, status = "running") =>
  ({ run_id, status, updated_at: new Date(updated).toISOString() }) as Run;
const event = (r: Run) => ({ kind: "run", run_id: r.run_id, data: r }) as unknown as LiveEvent;
const NO_FILTER: RunFilter = { state: [], workflow: [], q: undefined }; // as the screen gives it
const draw = (shown: Run[], filter = NO_FILTER) =>
  renderHook((p: { shown: Run[]; filter: RunFilter }) => useFresh(p.filter, p.shown), {
    initialProps: { shown, filter },
  });

test("new runs are counted until they are asked for, each once", () => {
  const { result } = draw([run("b", 1), run("a", 1)]);
  act(() => happens([event(run("c", 2)), event(run("c", 3)), event(run("a", 3))]));
  expect(result.current.count).toBe(1);
  act(() => result.current.show());
  expect(result.current.count).toBe(0);
});
test("under a filter nothing is counted, and what was counted before is forgotten", () => {
  const { result, rerender } = draw([run("b", 1)]);
  act(() => happens([event(run("c", 2))]));
  rerender({ shown: [run("b", 1)], filter: { ...NO_FILTER, workflow: ["w"] } });
  expect(result.current.count).toBe(0);
  act(() => happens([event(run("d", 2))]));
  expect(result.current.count).toBe(0);
});
test("a row changes where it is, also one that came into the list later", () => {
  const { result, rerender } = draw([run("b", 1), run("a", 1)]);
  rerender({ shown: [run("b", 1), run("0", 1)], filter: NO_FILTER });
  act(() => happens([event(run("0", 2, "failed"))]));
  expect(result.current.latest(run("0", 1)).status).toBe("failed");
});
test("an event does not cover what was read after it", () => {
  const { result } = draw([run("b", 1)]);
  act(() => happens([event(run("b", 2, "waiting"))]));
  expect(result.current.latest(run("b", 3, "completed")).status).toBe("completed");
});
