import { describe, expect, it } from "vitest";
import type { AgentDetail, Tool } from "../api/client";
import { approversOf, mayDo, ruleRef, timeOf } from "./rules";

const given = (name: string, over: object = {}) => ({
  name,
  kind: "tool",
  title: name,
  risk: "read",
  allowed: true,
  rule: "default:read@1",
  effect: "allow",
  approvers: [],
  ...over,
});
it("names any approver last", () => {
  expect(approversOf(["role:approver"])).toBe("any approver");
  expect(approversOf(["role:approver", "leads", "mara"])).toBe("leads, mara or any approver");
});
it("splits a rule's reference at its last @", () =>
  expect(ruleRef("a@b@12")).toEqual({ id: "a@b", version: "12", builtIn: false }));
it("writes a time without empty units", () => {
  expect(timeOf(4 * 3600)).toBe("4 h");
  expect(timeOf(604800)).toBe("7 d");
  expect(timeOf(90)).toBe("1 m 30 s");
});
describe("mayDo", () => {
  const switched = { name: "off", switch: { disabled: true, reason: "double refunds", created_by: "mara" } };
  const agent = {
    version: "1",
    tools: [
      given("fetch"),
      given("refund", { effect: "require_approval", approvers: ["leads"] }),
      given("dropped", { allowed: false }),
      given("denied", { effect: "deny", rule: "no@2" }),
      given("off", { effect: "require_approval" }),
      given("checker", { kind: "agent", effect: null, risk: null }),
      given("lost", { effect: null, risk: null }),
    ],
  } as unknown as AgentDetail;
  const may = mayDo(agent, [switched as unknown as Tool], [{ name: "checker", state: "active" }]);
  it("sorts by what a call needs", () => {
    expect(may.unasked.map((t) => t.name)).toEqual(["fetch", "checker"]);
    expect(may.asking.map((t) => t.name)).toEqual(["refund"]);
  });
  it("says why never; a switch wins over a rule", () =>
    expect(may.never.map((t) => [t.name, t.why])).toEqual([
      ["dropped", "not in the version in use"],
      ["denied", "denied by no@2"],
      ["off", "switched off by mara: double refunds"],
      ["lost", "no worker has registered it"],
    ]));
});
