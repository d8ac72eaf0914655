// @vitest-environment jsdom
import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import document from "../../../tests/api/openapi.json";
import { makeRouter } from "../router";
import { HAS, NAV, places } from "./nav";

const LATER = ["Schedules", "Bulk", "Templates", "Doctor"];
const wordsOf = (nav: typeof NAV) => nav.flatMap((group) => group.items).map((i) => i.word);

test("a page is shown if the OpenAPI document has its route", () => {
  for (const [noun, has] of Object.entries(HAS))
    expect([noun, has]).toEqual([noun, `/api/v1/${noun}` in document.paths]);
});
test("a planned page appears once it is enabled, and not before", () => {
  const none = places({ schedules: false, bulk: false, templates: false, doctor: false });
  for (const word of LATER) {
    const noun = word.toLowerCase();
    const one = places({ schedules: false, bulk: false, templates: false, doctor: false, [noun]: true });
    expect(wordsOf(none)).not.toContain(word);
    expect(wordsOf(one).filter((w) => !wordsOf(none).includes(w))).toEqual([word]);
  }
});
test("every page shown has a screen and its own key", () => {
  const screens = Object.keys(makeRouter(new QueryClient()).routesByPath);
  const items = NAV.flatMap((group) => group.items);
  for (const { to } of items) expect(screens).toContain(to);
  const all = places({ schedules: true, bulk: true, templates: true, doctor: true }).flatMap((group) => group.items);
  expect(new Set(all.map((i) => i.key)).size).toBe(all.length);
});
