// @vitest-environment jsdom
import { cleanup, fireEvent, renderHook } from "@testing-library/react";
import { afterEach, beforeEach, expect, test } from "vitest";
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

test("the page has a key before what is around it, unless it answers false", () => {
  press("a");
  press("Enter");
  expect(pressed).toEqual(["the page's a", "Enter"]);
});
test("the second of two keys is nobody else's, and only once", () => {
  for (const key of ["g", "a", "a"]) press(key);
  expect(pressed).toEqual(["g a", "the page's a"]);
});
test("a letter in between, or a long wait, ends the two", () => {
  for (const key of ["g", "x", "a"]) press(key);
  expect(pressed).toEqual(["the page's a"]);
});
test("what is typed into a field, or under a dialog, is left alone; Ctrl and ⌘ are not", () => {
  const field = document.body.appendChild(document.createElement("input"));
  press("a", {}, field);
  press("k", { ctrlKey: true }, field);
  press("k", { metaKey: true }, field);
  document.body.appendChild(document.createElement("div")).setAttribute("aria-modal", "true");
  press("a");
  expect(pressed).toEqual(["mod+k", "mod+k"]);
});
test("single keys can be switched off", () => {
  setKeysOff(true);
  for (const key of ["a", "?", "g", "a"]) press(key);
  press("k", { ctrlKey: true });
  expect(pressed).toEqual(["mod+k"]);
});
