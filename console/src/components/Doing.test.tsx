// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import type { Run } from "../api/client";
import { Doing } from "./Doing";

afterEach(cleanup);
const show = (run: object, fallback?: string) => {
  const r = { waiting_on: null, current_step: null, next_at: null, ...run } as Run;
  return render(<Doing r={r} fallback={fallback} />).container.firstElementChild as HTMLElement;
};

test("a long step is cut off, the remaining time isn't, and it turns amber when it gets short", () => {
  const waiting = { status: "waiting", waiting_on: "approval", current_step: "Refund 76.00 USD on ticket T-1015" };
  const next_at = new Date(Date.now() + 40 * 60_000 + 500).toISOString();
  const doing = show({ ...waiting, next_at });
  expect(doing.textContent).toBe("Refund 76.00 USD on ticket T-1015, 40 m left");
  const rest = screen.getByText(/left$/);
  expect(rest.closest(".cut")).toBeNull();
  expect(rest.dataset.soon).toBe("true");
  cleanup();
  show({ ...waiting, next_at: new Date(Date.now() + 5 * 3_600_000).toISOString() });
  expect(screen.getByText(/left$/).dataset.soon).toBeUndefined();
});
test("the tooltip has the full failure reason, with invisible characters named", () => {
  const failed = { status: "failed", closed_at: "2026-11-29T09:00:00Z", error_type: "ToolError" };
  const doing = show({ ...failed, status_reason: "fetch: ToolError: gnp\u202eexe" });
  expect([doing.title, doing.textContent]).toEqual(["fetch: ToolError: gnp[U+202E]exe", "gnpU+202Eexe"]);
});
test("a run whose step is hidden shows its state", () => {
  expect(show({ status: "running" }, "Running").textContent).toBe("Running");
});
