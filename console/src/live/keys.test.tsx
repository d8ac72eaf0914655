// @vitest-environment jsdom
import { cleanup, fireEvent, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setKeysOff, useKeys } from "./keys";

let pressed: string[];
beforeEach(() => {
  pressed = [];
  renderHook(() => useKeys({ a: () => void pressed.push("the page's a"), Enter: () => false }));
  renderHook(() => {
    const note = (key: string) => () => void pressed.push(key);
    useKeys({ a: note("a"), "g a": note("g a"), "mod+k": note("mod+k"), "?": note("?"), Enter: note("Enter") });
  });
});
afterEach(() => {
  cleanup();
  setKeysOff(false);
  document.body.replaceChildren();
});
const press = (key: string, more = {}, on: Element = document.body) => fireEvent.keyDown(on, { key, ...more });

test("a page's handler comes before those around it, unless it returns false", () => {
  press("a");
  press("Enter");
  expect(pressed).toEqual(["the page's a", "Enter"]);
});
test("the second key of a chord has no other effect, and ends the chord", () => {
  for (const key of ["g", "a", "a"]) press(key);
  expect(pressed).toEqual(["g a", "the page's a"]);
});
test("another key in between cancels the chord", () => {
  for (const key of ["g", "x", "a"]) press(key);
  expect(pressed).toEqual(["the page's a"]);
});
test("the second key of a chord must follow within 1.2 seconds", () => {
  const at = vi.spyOn(Event.prototype, "timeStamp", "get").mockReturnValue(10_000);
  press("g");
  at.mockReturnValue(11_100);
  press("a");
  press("g");
  at.mockReturnValue(12_400);
  press("a");
  expect(pressed).toEqual(["g a", "the page's a"]);
  at.mockRestore();
});
test("keys in a field or under a dialog are ignored, except with Ctrl or ⌘", () => {
  const field = document.body.appendChild(document.createElement("input"));
  press("a", {}, field);
  press("k", { ctrlKey: true }, field);
  press("k", { metaKey: true }, field);
  document.body.appendChild(document.createElement("div")).setAttribute("aria-modal", "true");
  press("a");
  expect(pressed).toEqual(["mod+k", "mod+k"]);
});
test("single-key shortcuts can be turned off", () => {
  setKeysOff(true);
  for (const key of ["a", "?", "g", "a"]) press(key);
  press("k", { ctrlKey: true });
  expect(pressed).toEqual(["mod+k"]);
});
