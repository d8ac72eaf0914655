import { useState } from "react";
import { asMoney, cents, isMoney, numberOf, shown, typeOf, type Property } from "./schema";

interface Props {
  id: string;
  property: Property | undefined;
  value: unknown;
  onChange(value: unknown): void;
  /** The typed text can't be parsed, or can be parsed again. */
  onUnread(broken: boolean): void;
}
const LONG = 40; // characters

/** A number typed as text, so that it isn't reformatted while typing. The call can't be approved while it can't be parsed. */
function NumberField({ id, property, value, onChange, onUnread }: Props) {
  const money = isMoney(property);
  const [text, setText] = useState(money && typeof value === "number" ? asMoney(value) : String(value ?? ""));
  const [broken, setBroken] = useState(false);
  const read = (typed: string) => {
    setText(typed);
    const n = money ? cents(typed) : numberOf(typed);
    setBroken(Number.isNaN(n));
    onUnread(Number.isNaN(n));
    if (!Number.isNaN(n)) onChange(n);
  };
  return (
    <>
      <input
        id={id}
        inputMode="decimal"
        value={text}
        aria-invalid={broken || undefined}
        onChange={(e) => read(e.target.value)}
      />
      {money && <i>{property!["x-currency"]}</i>}
    </>
  );
}
/** Anything else as JSON. The call can't be approved while it can't be parsed. */
function JsonField({ id, value, onChange, onUnread }: Props) {
  const [text, setText] = useState(JSON.stringify(value, null, 2) ?? "");
  const [broken, setBroken] = useState(false);
  const read = (typed: string) => {
    setText(typed);
    let bad = false;
    try {
      onChange(JSON.parse(typed));
    } catch {
      bad = true;
    }
    setBroken(bad);
    onUnread(bad);
  };
  return (
    <textarea
      id={id}
      rows={4}
      className="mono"
      value={text}
      aria-invalid={broken || undefined}
      onChange={(e) => read(e.target.value)}
    />
  );
}
/** The input for one argument. */
export function Field(p: Props) {
  const type = typeOf(p.property);
  if (p.property?.enum) {
    // Keep a value that isn't in the enum as an option: otherwise the list would show a different one.
    const values = p.property.enum.includes(p.value) ? p.property.enum : [p.value, ...p.property.enum];
    return (
      <select id={p.id} value={values.indexOf(p.value)} onChange={(e) => p.onChange(values[e.target.selectedIndex])}>
        {values.map((x, i) => (
          <option key={i} value={i}>
            {shown(undefined, x)}
          </option>
        ))}
      </select>
    );
  }
  if (type === "boolean")
    return <input id={p.id} type="checkbox" checked={!!p.value} onChange={(e) => p.onChange(e.target.checked)} />;
  if (type === "integer" || type === "number") return <NumberField {...p} />;
  if (type === "string" || typeof p.value === "string") {
    const text = String(p.value ?? "");
    if (text.length > LONG)
      return (
        <textarea
          id={p.id}
          rows={Math.min(8, 2 + Math.floor(text.length / 90))}
          value={text}
          onChange={(e) => p.onChange(e.target.value)}
        />
      );
    return <input id={p.id} value={text} onChange={(e) => p.onChange(e.target.value)} />;
  }
  return <JsonField {...p} />;
}
