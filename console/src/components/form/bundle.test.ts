import { expect, test } from "vitest";

const sources = import.meta.glob("../../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
const importing = (from: RegExp) =>
  Object.entries(sources)
    .filter(([path, text]) => !/\.test\.tsx?$/.test(path) && from.test(text as string))
    .map(([path]) => path);

test("only the start form loads the form library, and only when it is rendered", () => {
  expect(Object.keys(sources).length).toBeGreaterThan(50);
  expect(importing(/from "@(rjsf|cfworker)\//).filter((p) => !/^\.\/|\/form\//.test(p))).toEqual([]);
  expect(importing(/from "[^"]*\/form\//).filter((p) => !/\/start\//.test(p))).toEqual([]);
  expect(importing(/from "[^"]*\/start\/(StartRun|More|JsonSide)"/).filter((p) => !/\/start\//.test(p))).toEqual([]);
});
