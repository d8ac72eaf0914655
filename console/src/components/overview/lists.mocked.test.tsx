// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, render } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Approval, Overview, Run } from "../../api/client";
import { ConditionStrips } from "./Conditions";
import { FailedLately, RunsNow, WaitsForYou } from "./Lists";

vi.mock("@tanstack/react-router", () => ({ Link: "a", createLink: () => "a", useLocation: () => ({ pathname: "/" }) }));
vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
afterEach(cleanup);

const TURNED = "gnp\u202eexe";
const SEEN = "gnpU+202Eexe";
const at = "2026-11-29T09:00:00Z";
const run = {
  run_id: "r1",
  status: "failed",
  workflow: "refund",
  reference: TURNED,
  status_reason: TURNED,
  step_count: 0,
  created_at: at,
} as Run;
const count = { count: 1, href: "" };
const overview = {
  running: count,
  queued: count,
  waiting: count,
  paused: count,
  cancelling: count,
  unsuccessful_24h: count,
} as Overview;
const approval = {
  approval_id: "a1",
  title: TURNED,
  workflow: "refund",
  reference: TURNED,
  expires_at: null,
} as Approval;
const condition = {
  kind: "worker_stale",
  name: "w",
  count: 1,
  since: at,
  reason: TURNED,
} as Overview["conditions"][number];

test("a character that can't be seen is named on the overview, wherever others wrote", () => {
  render(
    <MantineProvider env="test">
      <WaitsForYou approvals={[approval]} total={1} />
      <RunsNow runs={[run]} overview={overview} />
      <FailedLately runs={[run]} overview={overview} />
      <ConditionStrips conditions={[condition]} />
    </MantineProvider>,
  );
  const text = document.body.textContent!;
  expect(text).not.toContain("\u202e");
  // The title and the reference of an approval, reference and reason of a run in two lists, a reason of a condition.
  expect(text.split(SEEN).length - 1).toBe(7);
});
