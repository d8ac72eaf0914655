// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { StepGroup, TimelineStep } from "../../api/client";
import { toNodes } from "./model";
import { Timeline } from "./Timeline";

const START = Date.parse("2026-11-28T12:00:00Z");
const HEIGHT = 640; // pixels: twenty rows
const at = (seconds: number) => new Date(START + seconds * 1000).toISOString();
const step = (event_id: number, over: Partial<TimelineStep> = {}): TimelineStep => ({
  execution_id: "e",
  event_id,
  kind: "tool",
  name: `tool_${event_id}`,
  title: `Tool ${event_id}`,
  status: "completed",
  attempt_count: 1,
  scheduled_at: at(event_id),
  closed_at: at(event_id + 1),
  ...over,
});
const used = { input_tokens: 900, output_tokens: 100, cached_tokens: 0, requests: 1, unpriced: 0, usd: 0.012 };
const AGENT = [
  step(1),
  step(2, { kind: "agent", name: "triager", title: "Triager", closed_at: at(9), usage: used }),
  step(3, { kind: "model", name: "triager", title: "turn 1", parent: 2, usage: used }),
  step(4, { parent: 2, title: "Search" }),
  step(10, { title: "Post reply" }),
];

// jsdom has no layout: the list is as high as its box reports.
const LAYOUT = {
  clientHeight: { configurable: true, get: () => HEIGHT },
  clientWidth: { configurable: true, get: () => 900 },
  scrollHeight: {
    configurable: true,
    get(this: HTMLElement) {
      return parseFloat(this.querySelector<HTMLElement>("[role=treegrid]")?.style.height ?? "0");
    },
  },
  scrollTo: {
    configurable: true,
    value(this: HTMLElement, to?: ScrollToOptions | number) {
      const top = Math.max(0, typeof to === "object" ? (to.top ?? 0) : 0);
      if (top === this.scrollTop) return;
      this.scrollTop = top;
      queueMicrotask(() => this.dispatchEvent(new Event("scroll"))); // asynchronous, as in a browser
    },
  },
};
afterEach(cleanup);
afterAll(() => {
  // Element defines these: without our overrides HTMLElement inherits them again.
  for (const name of Object.keys(LAYOUT)) Reflect.deleteProperty(HTMLElement.prototype, name);
  vi.unstubAllGlobals();
});
beforeAll(() => {
  Object.defineProperties(HTMLElement.prototype, LAYOUT);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      unobserve() {}
      disconnect() {}
    },
  );
});

function show(steps: TimelineStep[], over: Partial<Parameters<typeof Timeline>[0]> = {}) {
  const onSelect = vi.fn();
  const onUnfold = vi.fn();
  const props = {
    nodes: toNodes(steps),
    start: START,
    end: START + 20_000,
    live: false,
    fold: true,
    onSelect,
    onRows: () => undefined,
    onUnfold,
    ...over,
  };
  const { rerender } = render(<Timeline {...props} />);
  return { onSelect, onUnfold, again: (more: typeof over) => rerender(<Timeline {...props} {...more} />) };
}
const grid = () => screen.getByRole("treegrid", { name: "Steps" });
const rows = () => within(grid()).getAllByRole("row");
const names = () => rows().map((r) => within(r).getAllByRole("gridcell")[0]!.textContent);
const row = (word: string) => rows().find((r) => r.textContent?.includes(word))!;
const focused = () => document.activeElement?.textContent ?? "";
async function press(key: string) {
  await act(async () => {
    fireEvent.keyDown(document.activeElement ?? grid(), { key });
    await new Promise((done) => setTimeout(done, 1));
  });
}

describe("the text of a row", () => {
  test("a failed step is labelled as failed, and its attempts are counted and drawn", () => {
    const attempts: TimelineStep["attempts"] = [1, 2, 3].map((n) => ({
      n,
      status: "failed",
      started_at: at(2 * n),
      finished_at: at(2 * n + 1),
    }));
    show([step(1, { status: "failed", attempt_count: 3, attempts, closed_at: at(7) })]);
    expect(row("Tool 1").textContent).toMatch(/^FailedTool 13 attempts/);
    expect(row("Tool 1").querySelectorAll('[data-outcome="failed"]')).toHaveLength(3);
  });
  test("a call waiting for a person is shown as waiting, and so is its agent", () => {
    const gate = { approval_id: "a", status: "pending" as const, approvers: ["leads"], opened_at: at(5) };
    const waiting = step(4, {
      parent: 2,
      title: "Refund",
      status: "waiting",
      approval_id: "a",
      gate,
      closed_at: undefined,
    });
    show([step(2, { kind: "agent", title: "Triager", status: "running", closed_at: undefined }), waiting], {
      live: true,
    });
    expect(names()).toEqual(["Needs approvalTriager", "Needs approvalRefund"]);
    expect(row("Refund").textContent).toContain("waiting");
    expect(row("Refund").querySelectorAll("[data-outcome]")).toHaveLength(0);
  });
  test("a running timer is shown as sleeping, drawn as a wait", () => {
    show([step(1, { kind: "timer", name: "timer", title: "Sleep 3 s", status: "waiting", closed_at: undefined })]);
    expect(row("Sleep 3 s").textContent).toContain("Sleeping");
    expect(row("Sleep 3 s").textContent).toContain("sleeping");
  });
  test("tokens and cost are shown at their step, and grow", () => {
    const { again } = show(AGENT);
    expect(row("Turn 1").textContent).toContain("1.0k tokens$0.012");
    expect(row("Post reply").textContent).not.toContain("tokens");
    const more = AGENT.map((s) => (s.event_id === 3 ? { ...s, usage: { ...used, input_tokens: 2900, usd: 0.05 } } : s));
    again({ nodes: toNodes(more) });
    expect(row("Turn 1").textContent).toContain("3.0k tokens$0.050");
  });
  test("an unknown price isn't zero", () => {
    show([step(1, { kind: "model", usage: { ...used, usd: null, unpriced: 1 } })]);
    expect(row("Tool 1").textContent).toContain("unpriced");
  });
});

describe("the tree", () => {
  test("levels and collapsible rows are exposed to screen readers", () => {
    show(AGENT);
    expect(grid().getAttribute("aria-rowcount")).toBe("5");
    expect(rows().map((r) => r.getAttribute("aria-level"))).toEqual(["1", "1", "2", "2", "1"]);
    expect(rows().map((r) => r.getAttribute("aria-expanded"))).toEqual([null, "true", null, null, null]);
    expect(rows().map((r) => r.getAttribute("aria-rowindex"))).toEqual(["1", "2", "3", "4", "5"]);
  });
  test("one row is a tab stop, and arrow keys move from there", async () => {
    show(AGENT);
    expect(rows().filter((r) => r.tabIndex === 0)).toHaveLength(1);
    act(() => rows()[0]!.focus());
    await press("ArrowDown");
    expect(focused()).toContain("Triager");
    await press("ArrowRight"); // it is open: moves to its first child
    expect(focused()).toContain("Turn 1");
    await press("ArrowLeft"); // nothing to collapse: moves to its parent
    expect(focused()).toContain("Triager");
    await press("ArrowLeft");
    expect(row("Triager").getAttribute("aria-expanded")).toBe("false");
    expect(rows()).toHaveLength(3);
    await press("ArrowRight");
    expect(rows()).toHaveLength(5);
    await press("End");
    expect(focused()).toContain("Post reply");
    await press("Home");
    expect(focused()).toContain("Tool 1");
    expect(rows().filter((r) => r.tabIndex === 0)).toHaveLength(1);
  });
  test("Enter, Space and a click open a step", async () => {
    const { onSelect } = show(AGENT);
    act(() => rows()[0]!.focus());
    await press("Enter");
    await press("ArrowDown");
    await press(" ");
    fireEvent.click(row("Post reply"));
    expect(onSelect.mock.calls.map(([key]) => key)).toEqual(["e.1", "e.2", "e.10"]);
  });
  test("the selected row has aria-selected", () => {
    show(AGENT, { selected: "e.4" });
    expect(row("Search").getAttribute("aria-selected")).toBe("true");
    expect(rows().filter((r) => r.getAttribute("aria-selected") === "true")).toHaveLength(1);
  });
});

describe("many steps", () => {
  test("of 5,000 rows only visible ones are rendered, and all are counted", async () => {
    show(Array.from({ length: 5_000 }, (_, i) => step(i + 1)));
    expect(grid().getAttribute("aria-rowcount")).toBe("5000");
    expect(rows().length).toBeLessThan(50);
    act(() => rows()[0]!.focus());
    await press("End");
    expect(row("Tool 5000").getAttribute("aria-rowindex")).toBe("5000");
    expect(rows().length).toBeLessThan(50);
  });
  test("a fan-out is one row; expanded, it shows failures first and the rest on request", () => {
    const many = Array.from({ length: 40 }, (_, i) =>
      step(i + 1, { name: "price", title: "Price", label: `SKU ${i + 1}`, ...(i === 8 ? { status: "failed" } : {}) }),
    );
    show(many);
    expect(names()).toEqual(["FailedPrice × 4039 done, 1 failed"]);
    fireEvent.click(row("Price × 40"));
    expect(names().slice(1)).toEqual(["FailedPriceSKU 9", "Show 39 completed"]);
    fireEvent.click(row("Show 39"));
    expect(grid().getAttribute("aria-rowcount")).toBe("42");
    fireEvent.click(row("Hide 39"));
    expect(rows()).toHaveLength(3);
  });
  test("the selected step is shown, even in a fan-out", () => {
    const many = Array.from({ length: 40 }, (_, i) =>
      step(i + 1, { name: "price", title: "Price", label: `SKU ${i + 1}` }),
    );
    show([step(50), ...many], { selected: "e.9" });
    expect(row("SKU 9").getAttribute("aria-selected")).toBe("true");
  });
  test("a fan-out folded by the server requests its steps when expanded, and shows them in place", () => {
    const group: StepGroup = {
      execution_id: "e",
      kind: "tool",
      name: "price",
      first: 2,
      last: 9_001,
      count: 9_000,
      done: 8_999,
      failed: 1,
      open: 0,
      beneath: 0,
      first_at: at(2),
      last_at: at(8),
      bins: [{ done: 8_999, failed: 1, open: 0 }],
    };
    const { onUnfold, again } = show([step(1), step(9_002)], { folded: { groups: [group], inside: new Map() } });
    expect(names()).toEqual(["CompletedTool 1", "FailedPrice × 9,0008,999 done, 1 failed", "CompletedTool 9002"]);
    fireEvent.click(row("Price × 9,000"));
    expect(onUnfold).toHaveBeenCalledWith("group.e.2");
    const inside = toNodes([step(2, { name: "price", title: "Price", status: "failed" }), step(3, { name: "price" })]);
    again({ folded: { groups: [group], inside: new Map([["group.e.2", inside]]) } });
    expect(names().slice(1, 4)).toEqual([
      "FailedPrice × 9,0008,999 done, 1 failed",
      "FailedPrice",
      "Show 8,999 completed",
    ]);
  });
});
