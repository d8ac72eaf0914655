// @vitest-environment jsdom
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { part } from "../../live/delta.fixture";
import type { LiveEvent } from "../../live/stream";
import { Writing } from "./Writing";

afterEach(cleanup);
const heard = vi.hoisted(() => ({ listener: (() => {}) as (events: never[]) => void }));
vi.mock("../../live/stream", () => ({
  useEvents: (listener: (events: never[]) => void) => void (heard.listener = listener),
}));
const announce = (kind: string, data: object = {}, run_id = "r") =>
  act(() => (heard.listener as (events: LiveEvent[]) => void)([{ run_id, kind, data } as LiveEvent]));
const write = (...of: Parameters<typeof part>) => announce("delta", part(...of));
const turn = { execution_id: "e", name: "triager", kind: "model", turn: 1 };

test("a response grows as it streams, as plain text, and disappears when its turn ends", () => {
  render(<Writing run_id="r" steps={[]} />);
  expect(screen.queryByRole("region")).toBeNull();
  write(1, "I look <b>it</b>");
  write(2, " up.");
  const writing = screen.getByRole("region", { name: "Live model output" });
  expect(writing.querySelector("blockquote")!.textContent).toBe("I look <b>it</b> up.");
  expect(writing.textContent).toContain("Triager is writing turn 1");
  announce("step", { ...turn, closed_at: null });
  announce("step", { ...turn, turn: 2, closed_at: "2026-11-28T12:00:00Z" });
  expect(screen.getByRole("region")).toBe(writing);
  announce("step", { ...turn, closed_at: "2026-11-28T12:00:00Z" });
  expect(screen.queryByRole("region")).toBeNull();
});
test("invisible characters are named, in the text and in tool names invented by a model", () => {
  render(<Writing run_id="r" steps={[]} />);
  write(1, "a\u202eb", { tools: ["pay\u200bout"] });
  expect(screen.getByText("U+202E")).toBeTruthy();
  expect(screen.getByText("U+200B").parentElement!.textContent).toBe("Calling payU+200Bout");
});
test("deltas of other runs are ignored, and the end of the run removes everything", () => {
  render(<Writing run_id="r" steps={[]} />);
  announce("delta", {}, "another");
  expect(screen.queryByRole("region")).toBeNull();
  write(3, "late", { attempt: 2 });
  expect(screen.getByText("incomplete")).toBeTruthy();
  expect(screen.getByRole("region").textContent).toContain("attempt 2");
  announce("end");
  expect(screen.queryByRole("region")).toBeNull();
});
