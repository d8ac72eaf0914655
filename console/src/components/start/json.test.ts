import { expect, test } from "vitest";
import { parsed } from "./json";

test("typed JSON parses to its value or to a fault", () => {
  expect(parsed('{"a": [1, null]}')).toEqual({ value: { a: [1, null] } });
  expect(parsed(" ")).toEqual({ value: null });
  expect(parsed('{\n"a": x}')).toHaveProperty("fault");
});
