import { expect, test } from "vitest";
import { doingOf, messageOf } from "./doing";

const now = Date.parse("2026-11-29T09:00:00Z");
const row = {
  status: "waiting",
  waiting_on: "timer",
  current_step: null,
  next_at: "2026-11-29T09:57:00Z",
  start_at: null,
  status_reason: null,
  error_type: null,
} as const;
const textOf = (over: object) => {
  const { what, until } = doingOf({ ...row, ...over }, now);
  return until ? `${what}, ${until}` : what;
};

test("each kind of wait has its wording", () => {
  expect(textOf({ current_step: "timer" })).toBe("Sleeping, 57 m left");
  expect(textOf({ current_step: "page has settled" })).toBe("Page has settled, 57 m left");
  expect(textOf({})).toBe("Starts in 57 m");
  expect(textOf({ status: "queued", waiting_on: null, start_at: "2026-11-29T13:57:00Z" })).toBe("Starts in 4 h 57 m");
  expect(textOf({ status: "queued", waiting_on: null, start_at: null })).toBe("Starts when a worker is free");
  expect(textOf({ waiting_on: "approval", current_step: "Refund ticket" })).toBe("Refund ticket, 57 m left");
  const request = "Refund 48.00 USD on ticket T-1002 and 2 more";
  expect(textOf({ waiting_on: "approval", current_step: request })).toBe(`${request}, 57 m left`);
  expect(textOf({ waiting_on: "retry", current_step: "book_carrier" })).toBe("Book carrier, retry in 57 m");
});
test("a failure message is shown without its tool, type and location", () => {
  const reason = "fetch_ticket: ToolError: there is no ticket 'T-9999' (at tools.py:31)";
  expect(messageOf({ status_reason: reason, error_type: "ToolError" })).toBe("there is no ticket 'T-9999'");
  expect(messageOf({ status_reason: "ToolError: of ToolError: x", error_type: "ToolError" })).toBe("of ToolError: x");
  expect(messageOf({ status_reason: "timed out after 5 m (at once)", error_type: null })).toBe(
    "timed out after 5 m (at once)",
  );
  expect(messageOf({ status_reason: null, error_type: "ToolError" })).toBeUndefined();
});
