// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, render } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Approval, Overview, Run } from "../../api/client";
import { ConditionStrips } from "./Conditions";
import { Empty } from "./Empty";
import { RecentFailures, CurrentRuns, PendingApprovals } from "./Lists";

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

test("invisible characters are named in every user-written text of the overview", () => {
  render(
    <MantineProvider env="test">
      <PendingApprovals approvals={[approval]} total={1} />
      <CurrentRuns runs={[run]} overview={overview} />
      <RecentFailures runs={[run]} overview={overview} />
      <ConditionStrips conditions={[condition]} />
    </MantineProvider>,
  );
  const text = document.body.textContent!;
  expect(text).not.toContain("\u202e");
  // The title and the reference of an approval, reference and reason of a run in two lists, a reason of a condition.
  expect(text.split(SEEN).length - 1).toBe(7);
});
test("an empty overview counts the workflows, and links to those it doesn't list", () => {
  const items = Array.from({ length: 6 }, (_, i) => ({ name: `w${i}`, title: `W${i}`, description: "" }));
  const { container, rerender } = render(<Empty workflows={{ total: 6, items } as never} />);
  expect(container.querySelectorAll("li").length).toBe(4);
  expect(container.textContent).toContain("All 6 workflows");
  rerender(<Empty workflows={{ total: 4, items: items.slice(0, 4) } as never} />);
  expect(container.textContent).not.toContain("All 4");
});
