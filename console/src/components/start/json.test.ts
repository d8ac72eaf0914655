import { expect, test } from "vitest";
import { parseJson } from "./json";

test("typed JSON parses to its value or to a fault", () => {
  expect(parseJson('{"a": [1, null]}')).toEqual({ value: { a: [1, null] } });
  expect(parseJson(" ")).toEqual({ value: null });
  expect(parseJson('{\n"a": x}')).toHaveProperty("fault");
});
