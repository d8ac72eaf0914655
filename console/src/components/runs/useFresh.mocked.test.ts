// @vitest-environment jsdom
import { act, cleanup, renderHook } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Run } from "../../api/client";
import type { LiveEvent } from "../../live/stream";
import type { Values } from "../../runs";
import { useFresh } from "./useFresh";

let happens: (events: LiveEvent[]) => void;
vi.mock("../../live/stream", () => ({ useEvents: (listener: typeof happens) => (happens = listener) }));
afterEach(cleanup);

const at = (n: number) => new Date(n * 1000).toISOString();
const run = (run_id: string, updated: number, more: Partial<Run> = {}) =>
  ({ run_id, status: "running", workflow: "w", tags: [], created_at: at(10), updated_at: at(updated), ...more }) as Run;
const event = (r: Run) => ({ kind: "run", run_id: r.run_id, data: r }) as unknown as LiveEvent;
const draw = (shown: Run[], values: Values = {}, more = false) =>
  renderHook((p: { shown: Run[]; values: Values }) => useFresh(p.values, p.shown, more), {
    initialProps: { shown, values },
  });

test("new runs are counted once each, until shown", () => {
  const { result } = draw([run("b", 1), run("a", 1)]);
  act(() => happens([event(run("c", 2)), event(run("c", 3)), event(run("a", 3))]));
  expect(result.current.count).toBe(1);
  act(() => result.current.show());
  expect(result.current.count).toBe(0);
});
test("with a filter only matching runs are counted, and a change of filter resets the count", () => {
  const { result, rerender } = draw([run("b", 1)]);
  act(() => happens([event(run("c", 2))]));
  rerender({ shown: [run("b", 1)], values: { state: ["failed"] } });
  expect(result.current.count).toBe(0);
  act(() => happens([event(run("d", 2)), event(run("e", 2, { status: "failed" }))]));
  expect(result.current.count).toBe(1);
  rerender({ shown: [run("b", 1)], values: { q: ["words"] } });
  act(() => happens([event(run("f", 2))]));
  expect(result.current.count).toBe(0);
});
test("a run of a page that isn't loaded isn't new", () => {
  const { result } = draw([run("b", 1)], {}, true);
  act(() => happens([event(run("old", 2, { created_at: at(5) })), event(run("new", 2, { created_at: at(11) }))]));
  expect(result.current.count).toBe(1);
});
test("a row is updated in place, even one loaded later", () => {
  const { result, rerender } = draw([run("b", 1), run("a", 1)]);
  rerender({ shown: [run("b", 1), run("0", 1)], values: {} });
  act(() => happens([event(run("0", 2, { status: "failed" }))]));
  expect(result.current.latest(run("0", 1)).status).toBe("failed");
});
test("an event doesn't override a row loaded after it", () => {
  const { result } = draw([run("b", 1)]);
  act(() => happens([event(run("b", 2, { status: "waiting" }))]));
  expect(result.current.latest(run("b", 3, { status: "completed" })).status).toBe("completed");
});
