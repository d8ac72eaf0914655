import { describe, expect, it } from "vitest";
import { escaped, parts, visible } from "./unseen";

describe("an invisible character", () => {
  it("is named: bidi override, zero-width or tag character, terminal escape, lone surrogate, blank letter", () => {
    expect(visible("pay \u202e001\u202c")).toBe("pay [U+202E]001[U+202C]");
    expect(visible("a\u200bb\ufeffc\u{e0041}\u001b[2J\ud800\u3164")).toBe(
      "a[U+200B]b[U+FEFF]c[U+E0041][U+001B][2J[U+D800][U+3164]",
    );
  });
  it("isn't reported in ordinary text of any script", () => {
    for (const text of ["Café, 412 €\n\tdone", "שלום", "می‌خواهم", "👨‍👩‍👧 🏳️‍🌈", "日本語", "Это слово", "क्‍ष"])
      expect(visible(text)).toBe(text);
  });
  it("is escaped in JSON, which stays the same JSON", () => {
    const text = JSON.stringify({ a: "x\u202ey\u{e0041}\u2028" });
    expect(escaped(text)).toBe('{"a":"x\\u202ey\\udb40\\udc41\\u2028"}');
    expect(JSON.parse(escaped(text))).toEqual(JSON.parse(text));
  });
});
describe("letters that look like others", () => {
  it("are marked in a word of a different alphabet", () => {
    expect(parts("to pаypal")).toEqual(["to p", { text: "а", why: "alike" }, "ypal"]);
    expect(parts("5 µm, π")).toEqual(["5 µm, π"]);
  });
  it("are found quickly in long texts", () => {
    const began = performance.now();
    parts("x\u200b".repeat(16_000) + "aа".repeat(8_000) + "é".repeat(100_000));
    expect(performance.now() - began).toBeLessThan(1_000);
  });
});
