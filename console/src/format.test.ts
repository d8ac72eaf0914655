import { expect, test } from "vitest";
import { aboutOf } from "./format";

test("a run is described by its subject, and by its reference if that adds something", () => {
  expect(aboutOf({ subject: "Ticket T-7", reference: "T-7" })).toBe("Ticket T-7");
  expect(aboutOf({ subject: "Ticket T-7", reference: "case-1" })).toBe("Ticket T-7 · case-1");
  expect(aboutOf({ subject: null, reference: "case-1" })).toBe("case-1");
  expect(aboutOf({ subject: null, reference: null })).toBe("");
});
