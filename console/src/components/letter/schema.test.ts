import { describe, expect, it } from "vitest";
import { cents, emptyOf, relativeChange, numberOf, propertiesOf, shown } from "./schema";

const money = { "x-unit": "cents", "x-currency": "USD" };

describe("a displayed value", () => {
  it("is exact", () => {
    expect(shown(money, 41200)).toBe("412.00 USD");
    expect(shown(money, 41200.5)).toBe("41,200.5 cents");
    expect(shown(undefined, 0.1234567)).toBe("0.1234567");
    expect(shown(undefined, ["a", "b"])).toBe("a, b");
    expect(shown(undefined, ["a, b"])).toBe('[\n  "a, b"\n]');
  });
});
describe("a typed number", () => {
  it("is parsed only if unambiguous", () => {
    expect([cents("12.5"), cents(" 1,234.50 "), cents("12")]).toEqual([1250, 123450, 1200]);
    for (const typed of ["12,50", "1.234,50", "12.505", "", "-", "12 USD"]) expect(cents(typed)).toBeNaN();
    expect([numberOf("1e3"), numberOf("-0.5")]).toEqual([1000, -0.5]);
    for (const typed of ["9007199254740993", "1e400", " ", "12,5"]) expect(numberOf(typed)).toBeNaN();
  });
});
it("arguments without a value are distinguished from those that were cleared", () => {
  const values = { stage: null, owner: null, health: null, note: "" };
  expect(emptyOf(values, values)).toEqual(["stage", "owner", "health"]);
  expect(emptyOf(values, { ...values, owner: "mara" }, undefined)).toEqual(["stage", "health"]);
  expect(emptyOf(values, values, { stage: "won" }, { owner: "Required" })).toEqual([]);
});
it("the change since the last time is in percent", () => {
  expect(relativeChange(41200, 29800)).toBe("+38%");
  expect(relativeChange(100, 200)).toBe("−50%");
  expect(relativeChange(5, 0)).toBeUndefined();
});
it("an invalid schema is ignored", () => {
  for (const schema of [null, 5, [], { properties: 5 }, { properties: { a: 5 } }])
    expect(propertiesOf(schema)).toEqual({});
  const { a } = propertiesOf({ properties: { a: { title: {}, description: 5, enum: "x", anyOf: {} } } });
  expect(Object.values(a!).filter((v) => v !== undefined)).toEqual([]);
});
