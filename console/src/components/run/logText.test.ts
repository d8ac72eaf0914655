import { expect, test } from "vitest";
import { textOf } from "./logText";

const sdk = { logger: "temporalio.activity", message: "Completing activity as failed" };

test("a failed attempt is shortened, with the error's own class", () => {
  expect(textOf({ ...sdk, fields: { error: "ApplicationError: ToolError: no ticket", try: 2 } })).toBe(
    "Failed: ToolError: no ticket try=2",
  );
  expect(textOf({ ...sdk, fields: { error: "ApplicationError: no ticket" } })).toBe(
    "Failed: ApplicationError: no ticket",
  );
});
test("all other lines are unchanged", () => {
  expect(textOf({ ...sdk, fields: null })).toBe("Completing activity as failed");
  expect(textOf({ logger: "shop", message: "paid", fields: { error: "none", sum: 5 } })).toBe("paid error=none sum=5");
});
