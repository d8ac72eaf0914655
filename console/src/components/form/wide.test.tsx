// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { setZone } from "../../format";
import { check } from "./faults";
import { formSchema, initial, toInput } from "./schema";
import { SchemaForm } from "./SchemaForm";

beforeEach(() => setZone("utc"));
afterEach(cleanup);
vi.setConfig({ testTimeout: 30_000 }); // a whole form under a busy machine
let now: unknown;
function Drawn({ schema, from }: { schema: object; from?: unknown }) {
  const drawn = formSchema(schema);
  const [value, setValue] = useState<unknown>(from ?? initial(drawn, drawn));
  now = toInput(value, schema);
  return <SchemaForm schema={drawn} value={value} faults={check(now, schema)} onChange={setValue} />;
}
const field = (name: string, schema: object, more: object = {}) => ({
  type: "object",
  properties: { [name]: schema },
  required: [name],
  ...more,
});
const draw = (schema: object, from?: unknown) => render(<Drawn schema={schema} from={from} />);
const type = (label: string | RegExp, text: string) =>
  fireEvent.change(screen.getByLabelText(label), { target: { value: text } });

const cents = { type: "integer", minimum: 100, maximum: 500_000, "x-unit": "cents", "x-currency": "USD" };
test("money is typed in its currency, and sent in cents", () => {
  draw(field("refund_cents", cents, { required: [] }), { refund_cents: 41_200 });
  const input = screen.getByLabelText<HTMLInputElement>(/^Refund( optional)?$/);
  expect(input.value).toBe("412.00");
  expect(screen.getByText("USD")).toBeTruthy();
  for (const [typed, value] of Object.entries({ "50": 5000, "50.5": 5050, "0.07": 7, "19.99": 1999 })) {
    fireEvent.change(input, { target: { value: typed } });
    expect(now).toEqual({ refund_cents: value });
    expect(input.value).toBe(typed); // it stays as typed
  }
  expect(check({ refund_cents: 7 }, field("refund_cents", cents))[0]!.message).toBe("Must be at least 100");
  type(/^Refund/, "0.07");
  expect(screen.getByText("Must be at least 1.00")).toBeTruthy();
  type(/^Refund/, "1.234");
  expect(now).toEqual({ refund_cents: "1.234" });
  expect(screen.getByText("Must be integer")).toBeTruthy();
  type(/^Refund/, "");
  expect(now).toEqual({});
});
test("other units are shown beside the number", () => {
  draw(field("weight", { type: "number", "x-unit": "kg" }));
  expect(screen.getByText("kg")).toBeTruthy();
  type("Weight", "1.50");
  expect(now).toEqual({ weight: 1.5 });
  expect(screen.getByLabelText<HTMLInputElement>("Weight").value).toBe("1.50");
});
test("an integer that a browser would round is refused at its field, typed or from an earlier run", () => {
  const schema = field("order", { type: "integer" });
  draw(schema);
  type("Order", "9007199254740991");
  expect(now).toEqual({ order: 9007199254740991 });
  type("Order", "9007199254740993");
  expect(now).toEqual({ order: "9007199254740993" });
  expect(screen.getByText(/browser would round/).id).toBe("input.order__fault");
  cleanup();
  draw(schema, { order: 2 ** 60 });
  expect(screen.getByText(/browser would round/).id).toBe("input.order__fault");
});
test("constants with titles are shown by title", () => {
  const kinds = ["a", "b"].map((k) => ({ const: k, title: `Plan ${k}` }));
  draw(field("plan", { type: "string", oneOf: kinds }));
  fireEvent.click(screen.getByRole("radio", { name: "Plan b" }));
  expect(now).toEqual({ plan: "b" });
  expect(check(now, field("plan", { oneOf: kinds }))).toEqual([]);
});
test("constants of other types keep their type", () => {
  draw(field("size", { oneOf: [1, 2, 4].map((n) => ({ const: n, title: `${n} rooms` })) }));
  expect(now).toEqual({}); // nothing is preselected
  fireEvent.click(screen.getByRole("radio", { name: "4 rooms" }));
  expect(now).toEqual({ size: 4 });
});
test("a union without a discriminator shows the kind that matches its value, and changes with the choice", () => {
  const by = (name: string) => ({
    ...field(name, { type: "string" }),
    additionalProperties: false,
    title: `By ${name}`,
  });
  const schema = field("target", { anyOf: [by("email"), by("phone")] });
  draw(schema, { target: { phone: "+47" } });
  expect(screen.getByRole<HTMLInputElement>("radio", { name: "By phone" }).checked).toBe(true);
  fireEvent.click(screen.getByRole("radio", { name: "By email" }));
  type("Email", "a@example.org");
  expect(now).toEqual({ target: { email: "a@example.org" } });
  expect(check(now, schema)).toEqual([]);
});
test("times are typed in the displayed zone, and sent with an offset", () => {
  const schema = field("at", { type: "string", format: "date-time" });
  draw(schema, { at: "2026-11-29T08:08:15+02:00" });
  expect(screen.getByLabelText<HTMLInputElement>("At").value).toMatch(/^2026-11-29T06:08:15/);
  expect(screen.getByText("UTC")).toBeTruthy();
  type("At", "2026-12-01T09:30");
  expect(now).toEqual({ at: "2026-12-01T09:30:00Z" });
  cleanup();
  draw(field("day", { type: "string", format: "date" }));
  type("Day", "2026-12-01");
  expect(now).toEqual({ day: "2026-12-01" });
});
test("one of 10,000 choices is found by typing, with few rendered options", () => {
  const choices = Array.from({ length: 10_000 }, (_, n) => `SKU-${String(n).padStart(5, "0")}`);
  const schema = field("sku", { enum: choices });
  const { container } = draw(schema);
  expect(container.querySelectorAll("option").length).toBeLessThanOrEqual(50);
  type("Sku", "SKU-0712");
  expect(now).toEqual({ sku: "SKU-0712" });
  expect(screen.getByText("Isn’t one of the choices")).toBeTruthy();
  expect([...container.querySelectorAll("option")].map((o) => o.value)).toContain("SKU-07123");
  type("Sku", "SKU-07123");
  expect(now).toEqual({ sku: "SKU-07123" });
  expect(check(now, schema)).toEqual([]);
});
test("triply nested lists are filled in and read back", () => {
  const cube = { type: "array", items: { type: "array", items: { type: "array", items: { type: "integer" } } } };
  draw(field("cube", cube), { cube: [[[1, 2]], [[3], []]] });
  expect(now).toEqual({ cube: [[[1, 2]], [[3], []]] });
  fireEvent.change(screen.getAllByRole("textbox")[2]!, { target: { value: "30" } });
  expect(now).toEqual({ cube: [[[1, 2]], [[30], []]] });
});
test("a map of objects accepts new entries", () => {
  const schema = field("prices", { type: "object", additionalProperties: field("net", { type: "number" }) });
  draw(schema, { prices: { no: { net: 1 } } });
  type("Net", "2");
  expect(now).toEqual({ prices: { no: { net: 2 } } });
  fireEvent.click(screen.getByRole("button", { name: "Add entry" }));
  expect(Object.keys((now as { prices: object }).prices)).toHaveLength(2);
});
test("a schema that is a single string is rendered", () => {
  draw({ type: "string", title: "Question" });
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "why" } });
  expect(now).toBe("why");
});
