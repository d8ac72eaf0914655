import { expect, test } from "vitest";
import { parsed } from "./json";

test("JSON as typed: its value, or where it is not JSON", () => {
  expect(parsed('{"a": [1, null]}')).toEqual({ value: { a: [1, null] } });
  expect(parsed(" ")).toEqual({ value: null });
  expect(parsed('{\n"a": x}')).toHaveProperty("fault");
});
