// @vitest-environment jsdom
import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";
import document from "../../../tests/api/openapi.json";
import { makeRouter } from "../router";
import { HAS, NAV, places } from "./nav";

const LATER = ["Schedules", "Bulk", "Templates", "Doctor"];
const wordsOf = (nav: typeof NAV) => nav.flatMap((group) => group.items).map((i) => i.word);

test("a place is shown where the API's document has its route", () => {
  for (const [noun, has] of Object.entries(HAS))
    expect([noun, has]).toEqual([noun, `/api/v1/${noun}` in document.paths]);
});
test("there is room for each that comes later, and none of it before it is there", () => {
  const none = places({ schedules: false, bulk: false, templates: false, doctor: false });
  for (const word of LATER) {
    const noun = word.toLowerCase();
    const one = places({ schedules: false, bulk: false, templates: false, doctor: false, [noun]: true });
    expect(wordsOf(none)).not.toContain(word);
    expect(wordsOf(one).filter((w) => !wordsOf(none).includes(w))).toEqual([word]);
  }
});
test("every place that is shown has a screen, and a key of its own", () => {
  const screens = Object.keys(makeRouter(new QueryClient()).routesByPath);
  const items = NAV.flatMap((group) => group.items);
  for (const { to } of items) expect(screens).toContain(to);
  const all = places({ schedules: true, bulk: true, templates: true, doctor: true }).flatMap((group) => group.items);
  expect(new Set(all.map((i) => i.key)).size).toBe(all.length);
});
