import { expect, test } from "vitest";
import type { RunDetail } from "../../api/client";
import { stateOf } from "./sentence";

const run = (over: object) =>
  stateOf({
    status: "failed",
    created_at: "2026-11-28T12:00:00Z",
    closed_at: "2026-11-28T12:01:32Z",
    next: { summary: "waits for support-leads to decide: Refund ticket." },
    error: null,
    ...over,
  } as RunDetail);

test("an open run shows the API's summary of what is next", () =>
  expect(run({ status: "waiting", closed_at: null })).toBe("Waits for support-leads to decide: Refund ticket"));
test("a failed run shows its duration and the root cause", () => {
  const error = {
    type: "ActivityError",
    message: "Activity task failed",
    cause: { message: "no price.\nmore", cause: null },
  };
  expect(run({ error })).toBe("Failed after 1 m 32 s: no price");
});
test("without permission to read payloads, the error type is shown", () =>
  expect(run({ error: { type: null, message: null, cause: null }, error_type: "NoPrice" })).toBe(
    "Failed after 1 m 32 s: NoPrice",
  ));
test("a completed run needs no reason", () => expect(run({ status: "completed" })).toBe("Completed in 1 m 32 s"));
