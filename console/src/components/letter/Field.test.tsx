// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { Field } from "./Field";

afterEach(cleanup);
const show = (value: unknown) => {
  const onChange = vi.fn();
  render(<Field id="f" property={{ enum: ["low", 2] }} value={value} onChange={onChange} onUnread={() => {}} />);
  return { onChange, select: screen.getByRole<HTMLSelectElement>("combobox") };
};
test("a value outside the enum is shown, not the enum's first value", () => {
  const { onChange, select } = show(null);
  expect(select.selectedOptions[0]!.textContent).toBe("none");
  fireEvent.change(select, { target: { value: "2" } });
  expect(onChange).toHaveBeenCalledWith(2);
});
test("a chosen enum value keeps its type from the schema", () => {
  const { onChange, select } = show("low");
  expect([...select.options].map((o) => o.textContent)).toEqual(["low", "2"]);
  fireEvent.change(select, { target: { value: "1" } });
  expect(onChange).toHaveBeenCalledWith(2);
});
