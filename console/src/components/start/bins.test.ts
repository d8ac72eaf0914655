import { expect, test } from "vitest";
import { bounds, shownBins } from "./bins";

const bin = (from_seconds: number, to_seconds: number | null, count = 0) => ({ from_seconds, to_seconds, count });

test("empty bins before the first and after the last run are dropped, those in between stay", () => {
  const bins = [bin(0, 1), bin(1, 3, 2), bin(3, 10), bin(10, 30, 1), bin(30, null)];
  expect(shownBins(bins)).toEqual(bins.slice(1, 4));
  expect(shownBins([bin(0, 1)])).toEqual([]);
});
test("bounds read as words, each unit once", () => {
  expect([bin(0, 0.1), bin(0.1, 0.3), bin(0.3, 1), bin(1, 3), bin(30, 60), bin(86_400, null)].map(bounds)).toEqual([
    "under 100 ms",
    "100 to 300 ms",
    "300 ms to 1 s",
    "1 to 3 s",
    "30 s to 1 m",
    "over 1 d",
  ]);
});
