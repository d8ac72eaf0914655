import { describe, expect, it } from "vitest";
import type { Run } from "./api/client";
import { filterOf, matches, toggled, sameFilter, filterText, urlOf, valuesOf, viewKey, viewName } from "./runs";

const run = {
  status: "waiting",
  waiting_on: "approval",
  workflow: "refund",
  initiator: "ada",
  reference: null,
  tags: ["a", "b"],
  trigger: "api",
  version: "1",
} as unknown as Run;

describe("the filter of runs", () => {
  it("round-trips through the URL, with commas and percent signs in its values", () => {
    const all = {
      state: ["approval", "failed"],
      workflow: ["a,b", "100%", "%2C"],
      tag: ["x,y"],
      q: ["a,b"],
      stuck: ["true"],
    };
    expect(valuesOf(urlOf(all))).toEqual(all);
    expect(filterOf(all)).toEqual({ ...all, q: "a,b", stuck: "true" });
  });
  it("removes absent filters from the URL, and ignores unknown states", () => {
    expect(urlOf({})).toHaveProperty("status", undefined);
    expect(valuesOf({ status: "nonsense,constructor,failed", view: "x" })).toEqual({ state: ["failed"] });
  });
  it("adds to a list, and replaces a single value", () => {
    expect(toggled({ tag: ["a"] }, "tag", "b")).toEqual({ tag: ["a", "b"] });
    expect(toggled({ tag: ["a"] }, "tag", "a")).toEqual({});
    expect(toggled({ agent: ["a"] }, "agent", "b")).toEqual({ agent: ["b"] });
  });
  it("compares equal in any order", () => {
    expect(sameFilter({ tag: ["a", "b"], q: ["x"] }, { q: ["x"], tag: ["b", "a"], state: [] })).toBe(true);
    expect(sameFilter({ tag: ["a"] }, { tag: ["a", "b"] })).toBe(false);
  });
  it("matches a new run only by what its row has", () => {
    expect(matches(run, {})).toBe(true);
    expect(matches(run, { state: ["approval"], workflow: ["refund", "other"], tag: ["b"] })).toBe(true);
    expect(matches(run, { state: ["failed"], q: ["x"] })).toBe(false);
    expect(matches(run, { tag: ["a", "c"] })).toBe(false);
    expect(matches(run, { tool: ["pay"] })).toBeUndefined();
  });
  it("is described in words", () => {
    expect(filterText("state", "approval", String)).toBe("Needs approval");
    expect(filterText("duration_over", "90", String)).toBe("longer than 1 m 30 s");
    expect(filterText("initiator", "ada", String)).toBe("by ada");
  });
  it("names a view after its title, and distinguishes shared from private ones", () => {
    expect(viewName("Failed today!")).toBe("failed-today");
    expect(viewName("失敗")).toBe("view");
    expect(viewKey({ name: "a", shared: true })).not.toBe(viewKey({ name: "a", shared: false }));
  });
});
