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

test("a hidden tab asks nothing, and asks at once when it is looked at", () => {
  vi.useFakeTimers();
  const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  const queries = new QueryClient();
  const asked = vi.spyOn(queries, "invalidateQueries");
  renderHook(() => usePoll(undefined), {
    wrapper: ({ children }) => <QueryClientProvider client={queries}>{children}</QueryClientProvider>,
  });
  vi.advanceTimersByTime(MINUTE);
  expect(asked).not.toHaveBeenCalled();
  hidden.mockReturnValue(false);
  fireEvent(document, new Event("visibilitychange"));
  vi.advanceTimersByTime(1);
  expect(asked).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(MINUTE);
  expect(asked.mock.calls.length).toBeGreaterThan(5);
});
