// @vitest-environment jsdom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { Ident } from "./Bits";
import { CreatedKey } from "./settings/NewKey";
import { JsonSide } from "./start/JsonSide";

const ID = "run-0123456789abcdef";
const clipboard = (value: object | undefined) =>
  Object.defineProperty(navigator, "clipboard", { value, configurable: true });
const selected = () => getSelection()!.toString();

afterEach(() => {
  cleanup();
  Reflect.deleteProperty(navigator, "clipboard");
});

test("copying is announced", async () => {
  const writeText = vi.fn(() => Promise.resolve());
  clipboard({ writeText });
  render(<Ident id={ID} />);
  fireEvent.click(screen.getByRole("button"));
  expect(await screen.findByText("Copied")).toBeTruthy();
  expect(writeText).toHaveBeenCalledWith(ID);
});
test("the announcement disappears after a few seconds, so that copying again is announced", async () => {
  vi.useFakeTimers();
  clipboard({ writeText: () => Promise.resolve() });
  render(<JsonSide value={{ a: 1 }} onChange={() => {}} onReadable={() => {}} />);
  const copy = screen.getByRole("button", { name: "Copy" });
  for (const _ of [1, 2]) {
    await act(async () => void fireEvent.click(copy));
    expect(screen.getAllByRole("status").map((s) => s.textContent)).toContain("Copied");
    act(() => void vi.advanceTimersByTime(3_000));
    expect(screen.queryByText("Copied")).toBeNull();
    expect(copy.textContent).toBe("Copy");
  }
  vi.useRealTimers();
});
test.each([
  ["without a clipboard", undefined],
  ["if it refuses", { writeText: () => Promise.reject(new Error("denied")) }],
])("%s, the full id is shown and selected", async (_, value) => {
  clipboard(value);
  render(<Ident id={ID} />);
  fireEvent.click(screen.getByRole("button"));
  expect(await screen.findByText("Select and copy")).toBeTruthy();
  expect(selected()).toBe(ID);
});
test("without a clipboard, a new API key is selected", () => {
  const made = { key: "agk_secret", principal: "mara", expires_at: "2026-01-01T00:00:00Z" };
  render(<CreatedKey made={made as never} onClose={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: /^copy/i }));
  expect(screen.getByRole("status").textContent).toBe("Select and copy");
  expect(selected()).toBe("agk_secret");
  expect(document.activeElement!.textContent).toBe("agk_secret"); // for the keyboard
});
test("without a clipboard, the input is selected, in the view and in the editor", () => {
  render(<JsonSide value={{ a: 1 }} onChange={() => {}} onReadable={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: "Copy" }));
  expect(JSON.parse(selected())).toEqual({ a: 1 });
  fireEvent.click(screen.getByRole("button", { name: "Edit" }));
  fireEvent.click(screen.getByRole("button", { name: "Select and copy" }));
  const box = screen.getByRole<HTMLTextAreaElement>("textbox");
  expect(JSON.parse(box.value.slice(box.selectionStart, box.selectionEnd))).toEqual({ a: 1 });
});
