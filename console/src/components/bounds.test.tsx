// @vitest-environment jsdom
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import type { ReactElement } from "react";
import { afterEach, expect, test } from "vitest";
import type { Run } from "../api/client";
import * as q from "../api/queries";
import { Chosen } from "./runs/Chosen";
import { MOST } from "./runs/usePages";
import { RulePast } from "./tools/RulePast";

afterEach(cleanup);
const queries = new QueryClient();
const show = (what: ReactElement) => render(<QueryClientProvider client={queries}>{what}</QueryClientProvider>);

test("the selection says when its limit is reached", () => {
  const runs = Array.from({ length: MOST }, (_, i) => ({ run_id: String(i), status: "running" }) as Run);
  const bar = (some: Run[]) => <Chosen runs={some} onAll={() => {}} onClear={() => {}} />;
  show(bar(runs.slice(1)));
  expect(screen.getByText(/selected/).textContent).toBe("199 runs selected");
  cleanup();
  show(bar(runs));
  expect(screen.getByText(/selected/).textContent).toBe("200 runs selected, the maximum");
});
const version = (n: number) => ({ version: n, effect: "deny", created_by: "mara", created_at: "2026-11-29T09:00:00Z" });
function past(number: number) {
  const versions = Array.from({ length: number }, (_, i) => version(number - i));
  queries.setQueryData(q.policies.one("tool:refund").queryKey, { withdrawn: false, versions } as never);
  show(<RulePast rule="tool:refund" current={String(number)} />);
}
test("a rule's hidden earlier versions are counted, and shown on request", () => {
  past(12);
  expect(document.querySelectorAll("li").length).toBe(8);
  fireEvent.click(screen.getByText("Show 3 more"));
  expect(document.querySelectorAll("li").length).toBe(11);
  expect(screen.queryByText(/more/)).toBeNull();
});
test("the audit log is mentioned once all versions are shown and the API may have more", () => {
  past(50);
  expect(screen.queryByText(/audit log/)).toBeNull();
  fireEvent.click(screen.getByText("Show 41 more"));
  expect(document.querySelectorAll("li").length).toBe(49);
  expect(screen.getByText(/audit log/)).toBeTruthy();
  cleanup();
  past(49);
  fireEvent.click(screen.getByText("Show 40 more"));
  expect(screen.queryByText(/audit log/)).toBeNull();
});
