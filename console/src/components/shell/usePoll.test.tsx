// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, renderHook } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { usePoll } from "./usePoll";

const MINUTE = 60_000;
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("a hidden tab doesn't poll, and polls immediately once visible", () => {
  vi.useFakeTimers();
  const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  const queries = new QueryClient();
  const invalidated = vi.spyOn(queries, "invalidateQueries");
  renderHook(() => usePoll(undefined), {
    wrapper: ({ children }) => <QueryClientProvider client={queries}>{children}</QueryClientProvider>,
  });
  vi.advanceTimersByTime(MINUTE);
  expect(invalidated).not.toHaveBeenCalled();
  hidden.mockReturnValue(false);
  fireEvent(document, new Event("visibilitychange"));
  vi.advanceTimersByTime(1);
  expect(invalidated).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(MINUTE);
  expect(invalidated.mock.calls.length).toBeGreaterThan(5);
});
