// @vitest-environment jsdom
import { cleanup, render } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import type { ApprovalDetail } from "../../api/client";
import { Call } from "./Call";
import { Decide } from "./Decide";

afterEach(cleanup);

test.each([
  ["you made the request", "You can’t decide this: you made the request"],
  [null, "You can’t decide this"],
])("a decision that isn't allowed isn't offered, with or without a reason", (reason, text) => {
  const actions = [{ verb: "approve", allowed: false, reason }];
  const approval = { status: "pending", actions, expires_at: null, proposals: [], digest: "" } as unknown;
  const decision = { stage: "open", faults: { arguments: {} } } as never;
  render(<Decide approval={approval as ApprovalDetail} decision={decision} me="mara" away={false} />);
  expect(document.querySelector("button")).toBeNull();
  expect(document.body.textContent).toBe(text);
});
test("a time is shown in the viewer's zone with the raw value beside it; a string that only looks like one is unchanged", () => {
  const at = "2025-11-29T09:00:00Z";
  const values = { due: at, by: at, note: at };
  const properties = { by: { format: "date-time" }, note: { type: "string" } };
  render(<Call requested={values} values={values} properties={properties} authored={[]} edit={false} faults={{}} />);
  const [due, by, note] = [...document.querySelectorAll("dd")].map((d) => d.textContent);
  expect(due).toMatch(/^29 Nov 2025, \d\d:00:002025-11-29T09:00:00Z$/);
  expect(by).toBe(due);
  expect(note).toBe(at);
});
