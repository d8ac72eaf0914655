import { expect, test } from "vitest";
import { upcomingRows } from "./due";

const due = {
  kind: "approval_expires",
  at: "2026-11-29T09:32:10Z",
  run_id: "r1",
  approval_id: "a1",
  workflow: "account_research",
  workflow_title: "Account research",
  reference: "A-302",
  subject: null,
  current_step: "Update account",
  tool: "update_account",
  tool_title: "Update account",
  href: "",
} as const;

test("approvals that expire in the same minute share a row, everything else has its own", () => {
  const rows = upcomingRows([
    due,
    { ...due, run_id: "r2", approval_id: "a2", at: "2026-11-29T09:32:40Z", reference: "A-305" },
    { ...due, kind: "timer", run_id: "r3", approval_id: null, current_step: "timer", tool: null, tool_title: null },
    { ...due, run_id: "r4", approval_id: "a4", at: "2026-11-29T09:33:00Z", reference: "A-309" },
  ]);
  expect(rows.map((r) => [r.title, r.about, r.approval_id ?? r.run_id])).toEqual([
    ["2 approvals expire", "Account research · A-302, A-305", undefined],
    ["Account research continues", "Sleeping · A-302", "r3"],
    ["Update account expires", "Account research · A-309", "a4"],
  ]);
});
