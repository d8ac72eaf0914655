import { expect, test } from "vitest";
import { addDays, dayOf, dayStart, fromInput, toInput } from "./zoned";

test("times round-trip through the browser's input, with their offset", () => {
  expect(toInput("2026-11-29T08:08:15+02:00", "utc")).toBe("2026-11-29T06:08:15");
  expect(fromInput("2026-11-29T06:08", "utc")).toBe("2026-11-29T06:08:00Z");
  expect(fromInput(toInput("2026-11-29T06:08:15Z", "local"), "local")).toBe("2026-11-29T06:08:15Z");
  expect(toInput("soon", "utc")).toBe("");
});
test("days begin at midnight of the zone and follow the calendar", () => {
  expect(dayStart("2026-11-29", "utc")).toBe("2026-11-29T00:00:00Z");
  expect(dayOf(dayStart("2026-03-29", "local")!, "local")).toBe("2026-03-29");
  expect(addDays("2026-12-31", 1)).toBe("2027-01-01");
  expect(addDays("2026-03-01", -1)).toBe("2026-02-28");
  expect([dayStart("", "utc"), dayOf("soon", "utc")]).toEqual([undefined, ""]);
});
