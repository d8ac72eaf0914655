import { expect, it } from "vitest";
import { approversOf, pastRuleText, ruleRef, ruleWord, timeOf } from "./rules";

it("names any approver last", () => {
  expect(approversOf(["role:approver"])).toBe("any approver");
  expect(approversOf(["role:approver", "leads", "mara"])).toBe("leads, mara or any approver");
});
it("names the approvers of a rule only if not every approver can decide", () => {
  const rule = { effect: "require_approval", approvers: ["role:approver"] } as const;
  expect(ruleWord({ ...rule, approvers: ["role:approver"] })).toBe("needs approval");
  expect(ruleWord({ ...rule, approvers: ["leads", "mara"] })).toBe("needs approval from leads or mara");
  expect(pastRuleText({ ...rule, approvers: ["leads"] })).toBe("Needed approval from leads");
});
it("splits a rule's reference at its last @", () =>
  expect(ruleRef("a@b@12")).toEqual({ id: "a@b", version: "12", builtIn: false }));
it("writes a time without empty units", () => {
  expect(timeOf(4 * 3600)).toBe("4 h");
  expect(timeOf(604800)).toBe("7 d");
  expect(timeOf(90)).toBe("1 m 30 s");
});
