// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, test, vi } from "vitest";
import awkward from "./awkward.json";
import reference from "./reference.json";
import { check } from "./faults";
import { formSchema, initial, toInput } from "./schema";
import { SchemaForm } from "./SchemaForm";

afterEach(cleanup);
vi.setConfig({ testTimeout: 30_000 }); // a whole form under a busy machine
let now: unknown;
function Drawn({ schema, from, pointer }: { schema: object; from?: unknown; pointer?: string }) {
  const drawn = formSchema(schema);
  const [value, setValue] = useState<unknown>(from ?? initial(drawn, drawn));
  now = toInput(value, schema);
  const faults = pointer === undefined ? [] : [{ pointer, message: "Not so" }];
  return <SchemaForm schema={drawn} value={value} faults={faults} onChange={setValue} />;
}
const draw = (schema: object, from?: unknown, pointer?: string) =>
  render(<Drawn schema={schema} from={from} pointer={pointer} />);
const field = (of: string, more: object = {}) => ({
  type: "object",
  $defs: awkward.$defs,
  properties: { [of]: awkward.properties[of as keyof typeof awkward.properties] },
  required: [of],
  ...more,
});
const type = (label: string | RegExp, text: string) =>
  fireEvent.change(screen.getByLabelText(label), { target: { value: text } });
const press = (name: string | RegExp) => fireEvent.click(screen.getByRole("button", { name }));
const choose = (name: string) => fireEvent.click(screen.getByRole("radio", { name }));

test.each(Object.entries(reference))("the form of %s starts with its defaults and nothing else", (_, schema) => {
  draw(schema);
  const found = check(now, schema);
  expect(found.map((f) => f.message).filter((m) => m !== "Required" && m !== "Needs at least 1")).toEqual([]);
  const defaults = Object.entries(schema.properties).flatMap(([k, p]) => ("default" in p ? [[k, p.default]] : []));
  expect(now).toEqual({ ...Object.fromEntries(defaults), ...("points" in schema.properties ? { points: [] } : {}) });
});
test("a cleared default stays cleared", () => {
  draw(reference.support_triage);
  type("Ticket id", "T-1002");
  press(/1 field with a default/);
  type("Approval above", "");
  expect(now).toEqual({ ticket_id: "T-1002" });
  type("Approval above", "0.70");
  expect(now).toEqual({ ticket_id: "T-1002", approval_above_cents: 70 });
});
test("text lines: Enter adds one, pasted lines are added separately, none is lost on blur", () => {
  draw(reference.content_publish);
  const next = screen.getByLabelText("Points, another");
  fireEvent.change(next, { target: { value: "Open 10 to 18" } });
  fireEvent.keyDown(next, { key: "Enter" });
  fireEvent.paste(next, { clipboardData: { getData: () => "Closed\nOn Sundays\n" } });
  fireEvent.change(next, { target: { value: "left" } });
  fireEvent.blur(next);
  expect(now).toMatchObject({ points: ["Open 10 to 18", "Closed", "On Sundays", "left"] });
  press("Remove Points 2");
  expect(now).toMatchObject({ points: ["Open 10 to 18", "On Sundays", "left"] });
});
test("choices of a list are toggled, and keep their order", () => {
  draw(reference.weekly_digest);
  press(/1 field with a default/);
  press("support");
  expect(now).toEqual({ areas: ["sales", "product", "finance", "marketing"] });
  press("support");
  expect(now).toEqual({ areas: ["sales", "support", "product", "finance", "marketing"] });
});
test("changing the kind of a union sets its constant field", () => {
  draw(field("pay"));
  expect(now).toEqual({ pay: { kind: "card" } });
  type("Last4", "4242");
  choose("Bank transfer");
  expect(now).toEqual({ pay: { kind: "bank", holder: null } });
  type("Iban", "NO93");
  expect(check(now, field("pay"))).toEqual([]);
  choose("Card payment");
  expect(now).toEqual({ pay: { kind: "card" } });
});
test("a union of plain types uses the chosen type", () => {
  draw(field("who"));
  type("Who", "7");
  expect(now).toEqual({ who: 7 });
  choose("Text");
  type("Who", "7");
  expect(now).toEqual({ who: "7" });
});
test("an optional object is added and removed as a whole", () => {
  draw(field("bill_to", { required: [] }));
  expect(now).toEqual({});
  expect(screen.queryByLabelText("Street")).toBeNull();
  press("Add Bill to");
  expect(now).toEqual({ bill_to: { country: "NO" } });
  type("Street", "Storgata 1");
  expect(now).toEqual({ bill_to: { country: "NO", street: "Storgata 1" } });
  press("Remove Bill to");
  expect(now).toEqual({});
});
test("objects of a list are cards, including nested lists", () => {
  draw(field("lines"));
  expect(now).toEqual({ lines: [{ sizes: [] }] });
  press("Add another");
  press("Remove Line 1");
  type("Sku", "A");
  type("Amount", "3");
  press("Add one");
  press("Add one");
  type(/^Sizes/, "9");
  expect(now).toEqual({ lines: [{ sku: "A", amount: 3, sizes: [[9]] }] });
});
test("a recursive schema is rendered as deep as its value", () => {
  draw(field("tree"));
  type("Name", "root");
  press("Add one");
  const names = screen.getAllByLabelText("Name");
  expect(names).toHaveLength(2);
  fireEvent.change(names[1]!, { target: { value: "leaf" } });
  expect(now).toEqual({ tree: { name: "root", children: [{ name: "leaf", children: [] }] } });
});
test("an empty required nullable field is sent as null", () => {
  draw(field("must_say"));
  expect(now).toEqual({ must_say: null });
  type(/Must say/, "so");
  expect(now).toEqual({ must_say: "so" });
});
test("a recursive field is added level by level", () => {
  draw(field("tree"));
  press("Add Above");
  press("Add Above");
  expect(now).toEqual({ tree: { children: [], above: { children: [], above: { children: [] } } } });
});
test("a decimal is kept as text, so that no digit is lost", () => {
  draw(field("price"));
  type("Price", "0.10");
  expect(now).toEqual({ price: "0.10" });
});
test("yes, no and not set are distinct", () => {
  draw(field("agreed", { required: [] }));
  choose("No");
  expect(now).toEqual({ agreed: false });
  choose("Not set");
  expect(now).toEqual({});
});
test("many or long choices are a select", () => {
  draw(field("channel"));
  fireEvent.change(screen.getByRole("combobox"), { target: { value: "1" } });
  expect(now).toEqual({ channel: "letter to the head office" });
});
test("what a form can't render is edited as JSON", () => {
  draw(field("extra"));
  type("Extra, as JSON", '{"a": [1');
  expect(now).toEqual({ extra: {} });
  type("Extra, as JSON", '{"a": [1]}');
  expect(now).toEqual({ extra: { a: [1] } });
});
test("map entries can be renamed and removed", () => {
  draw(field("labels"), { labels: { team: "a" } });
  const name = screen.getByLabelText("Name");
  fireEvent.change(name, { target: { value: "squad" } });
  fireEvent.blur(name);
  expect(now).toEqual({ labels: { squad: "a" } });
  press("Remove squad");
  expect(now).toEqual({ labels: {} });
});
test("a fault is shown at its field, even in a card or a collapsed section", () => {
  draw(awkward, { lines: [{ sku: "a", amount: 99 }] }, "/lines/0/amount");
  expect(screen.getByText("Not so").id).toBe("input.lines.0.amount__fault");
  expect(screen.getByLabelText("Amount").getAttribute("aria-invalid")).toBe("true");
});
test("a complex schema is rendered, filled in and read back without loss", () => {
  const whole = {
    order_id: "6f1d3c1e-0000-4000-8000-000000000001",
    day: "2026-11-29",
    at: "2026-11-29T06:08:15Z",
    tone: "warm",
    express: true,
    pay: { kind: "bank", iban: "NO93", holder: null },
    backup: { kind: "card", last4: "4242" },
    who: "ada",
    lines: [{ sku: "a", amount: 1, sizes: [[1, 2], [3]] }],
    ship_to: { street: "Storgata 1", country: "SE" },
    labels: { team: "a" },
    extra: { any: [null] },
    anything: 3,
    must_say: null,
    codes: ["x"],
    tree: { name: "root", children: [{ name: "leaf", children: [], above: { name: "up" } }] },
    pair: [2, "b"],
  };
  draw(awkward, structuredClone(whole));
  expect(check(now, awkward)).toEqual([]);
  expect(now).toEqual(whole);
  const pay = within(screen.getByRole("radiogroup", { name: "Pay, kind" }));
  expect((pay.getByRole("radio", { name: "Bank transfer" }) as HTMLInputElement).checked).toBe(true);
  type(/^Iban/, "SE11");
  expect(now).toEqual({ ...whole, pay: { ...whole.pay, iban: "SE11" } });
});
