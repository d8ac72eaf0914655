// @vitest-environment jsdom
import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Log } from "../../api/client";
import { LINES, logs, type LogFilter } from "../../api/queries/runs";
import type { LiveEvent } from "../../live/stream";
import { useLogs } from "./useLogs";

afterEach(cleanup);
type Announce = (events: LiveEvent[]) => void;
const heard = vi.hoisted(() => ({ listener: (() => {}) as (events: never[]) => void, state: "live" }));
vi.mock("../../live/stream", () => ({
  useLive: () => ({ state: heard.state }),
  useEvents: (listener: (events: never[]) => void) => void (heard.listener = listener),
}));
vi.mock("../../api/queries/runs", () => ({ LINES: 3, logs: vi.fn() }));

let kept: Log[];
const line = (log_id: number, level = "info") => ({ log_id, level }) as Log;
const add = (...ids: number[]) => kept.push(...ids.map((id) => line(id)));
const announce = () => act(async () => (heard.listener as Announce)([{ run_id: "r", kind: "log" } as LiveEvent]));
/** A stand-in for the API. */
function answer(_: string, filter: LogFilter, place: { tail?: number; before?: number; after?: number }) {
  const fit = kept.filter((l) => !filter.min_level || l.level === filter.min_level);
  if (place.after !== undefined) return fit.filter((l) => l.log_id > place.after!).slice(0, LINES);
  return fit.filter((l) => l.log_id < (place.before ?? Infinity)).slice(-LINES);
}
beforeEach(() => {
  kept = [];
  heard.state = "live";
  vi.mocked(logs).mockReset();
  vi.mocked(logs).mockImplementation((...args) => Promise.resolve(answer(...args)));
});
const show = (filter: LogFilter = {}) => renderHook((of: LogFilter) => useLogs("r", of), { initialProps: filter });
const ids = (shown: ReturnType<typeof show>) => shown.result.current.lines?.map((l) => l.log_id);

test("the last lines load first, then all new ones, however many", async () => {
  add(1, 2, 3, 4);
  const shown = show();
  await waitFor(() => expect(ids(shown)).toEqual([2, 3, 4]));
  expect(shown.result.current.more).toBe(true);
  add(5, 6, 7, 8, 9, 10, 11);
  await announce();
  expect(ids(shown)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});
test("older lines are fetched once, however often requested, until the beginning is reached", async () => {
  add(1, 2, 3, 4, 5);
  const shown = show();
  await waitFor(() => expect(ids(shown)).toEqual([3, 4, 5]));
  const { older } = shown.result.current;
  await act(() => Promise.all([older!(), older!()]));
  expect(ids(shown)).toEqual([1, 2, 3, 4, 5]);
  expect(shown.result.current).toMatchObject({ more: false, older: undefined });
});
test("a failure to load older lines is an error, and can be retried", async () => {
  add(1, 2, 3, 4);
  const shown = show();
  await waitFor(() => expect(ids(shown)).toEqual([2, 3, 4]));
  vi.mocked(logs).mockRejectedValueOnce(new Error("away"));
  await act(() => shown.result.current.older!());
  expect(shown.result.current.error).toMatchObject({ message: "away" });
  await act(() => shown.result.current.older!());
  expect(ids(shown)).toEqual([1, 2, 3, 4]);
  expect(shown.result.current.error).toBeUndefined();
});
test("lines announced during a request are fetched after it", async () => {
  add(1);
  let arrive: (lines: Log[]) => void;
  vi.mocked(logs).mockImplementationOnce(() => new Promise((done) => (arrive = done)));
  const shown = show();
  add(2);
  await announce();
  expect(logs).toHaveBeenCalledTimes(1);
  await act(async () => arrive([line(1)]));
  await waitFor(() => expect(ids(shown)).toEqual([1, 2]));
});
test("after a filter change the old lines stay, marked with the old filter, until the new ones arrive", async () => {
  add(1, 2);
  const shown = show();
  await waitFor(() => expect(ids(shown)).toEqual([1, 2]));
  const { place } = shown.result.current;
  kept.push(line(3, "error"));
  shown.rerender({ min_level: "error" });
  expect(shown.result.current).toMatchObject({ place });
  await waitFor(() => expect(ids(shown)).toEqual([3]));
  expect(shown.result.current.place).not.toBe(place);
});
test("a failed first request is an error; the next event retries", async () => {
  vi.mocked(logs).mockRejectedValueOnce(new Error("away"));
  const shown = show();
  await waitFor(() => expect(shown.result.current.error).toMatchObject({ message: "away" }));
  add(1);
  await announce();
  expect(ids(shown)).toEqual([1]);
  expect(shown.result.current.error).toBeUndefined();
});
test("a reconnect fetches missed lines; nothing is fetched before the stream opens", async () => {
  add(1);
  heard.state = "connecting";
  const shown = show();
  expect(logs).not.toHaveBeenCalled();
  for (const state of ["live", "reconnecting", "live"]) {
    heard.state = state;
    shown.rerender({});
    await waitFor(() => expect(ids(shown)).toEqual(kept.map((l) => l.log_id)));
    if (state === "reconnecting") add(2);
  }
  expect(ids(shown)).toEqual([1, 2]);
});
