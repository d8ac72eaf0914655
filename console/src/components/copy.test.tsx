// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { Ident } from "./Bits";
import { Shown } from "./settings/NewKey";
import { JsonSide } from "./start/JsonSide";

const ID = "run-0123456789abcdef";
const clipboard = (value: object | undefined) =>
  Object.defineProperty(navigator, "clipboard", { value, configurable: true });
const selected = () => getSelection()!.toString();

afterEach(() => {
  cleanup();
  Reflect.deleteProperty(navigator, "clipboard");
});

test("what was copied is said", async () => {
  const writeText = vi.fn(() => Promise.resolve());
  clipboard({ writeText });
  render(<Ident id={ID} />);
  fireEvent.click(screen.getByRole("button"));
  expect(await screen.findByText("Copied")).toBeTruthy();
  expect(writeText).toHaveBeenCalledWith(ID);
});
test.each([
  ["without a clipboard", undefined],
  ["where it refuses", { writeText: () => Promise.reject(new Error("denied")) }],
])("%s the whole id is shown and selected", async (_, value) => {
  clipboard(value);
  render(<Ident id={ID} />);
  fireEvent.click(screen.getByRole("button"));
  expect(await screen.findByText("Select and copy")).toBeTruthy();
  expect(selected()).toBe(ID);
});
test("without a clipboard a new key is selected", () => {
  const made = { key: "agk_secret", principal: "mara", expires_at: "2026-01-01T00:00:00Z" };
  render(<Shown made={made as never} onClose={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: /^copy/i }));
  expect(screen.getByText("Select and copy")).toBeTruthy();
  expect(selected()).toBe("agk_secret");
});
test("without a clipboard the input is selected, as it is shown or as it is typed", () => {
  render(<JsonSide value={{ a: 1 }} onChange={() => {}} onReadable={() => {}} />);
  fireEvent.click(screen.getByRole("button", { name: "Copy" }));
  expect(JSON.parse(selected())).toEqual({ a: 1 });
  fireEvent.click(screen.getByRole("button", { name: "Edit" }));
  fireEvent.click(screen.getByRole("button", { name: "Select and copy" }));
  const box = screen.getByRole<HTMLTextAreaElement>("textbox");
  expect(JSON.parse(box.value.slice(box.selectionStart, box.selectionEnd))).toEqual({ a: 1 });
});
