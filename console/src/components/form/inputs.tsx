import type { BaseInputTemplateProps, WidgetProps } from "@rjsf/utils";
import { useState } from "react";
import { zoneName } from "../../format";
import classes from "./Form.module.css";
import { moneyOf, moneyText, numberOf } from "./numbers";
import { describedBy, unitOf } from "./parts";
import { DECIMAL, isMoney, type Schema } from "./schema";
import { fromInput, toInput } from "../../zoned";

const LONG = 200; // characters; a text that may be that long gets a textarea
const LINES =
  /(^|[._])(body|text|message|content|notes?|comment|description|instructions|prompt|question|summary|markdown)$/;
const isLong = (schema: Schema, id: string, value: unknown) =>
  schema.type === "string" &&
  !schema.format &&
  ((schema.maxLength ?? 0) >= LONG ||
    (schema.maxLength === undefined && LINES.test(id)) ||
    (typeof value === "string" && (value.includes("\n") || value.length > LONG)));
function example(schema: Schema): string | undefined {
  const first: unknown = Array.isArray(schema.examples) ? schema.examples[0] : undefined;
  return typeof first === "string" || typeof first === "number" ? `for example ${first}` : undefined;
}
const isNumber = (schema: Schema) => schema.type === "number" || schema.type === "integer";

interface Typed {
  schema: Schema;
  value: unknown;
  onChange(value: unknown): void;
}
/** The typed text and its number: the text stays as typed while it parses to the value. */
function useTyped({ schema, value, onChange }: Typed) {
  const [typed, setTyped] = useState("");
  const [read, write] = isMoney(schema) ? [moneyOf, moneyText] : [numberOf, String];
  const text = value == null ? "" : typeof value === "number" ? write(value) : String(value);
  const take = (next: string) => {
    setTyped(next);
    onChange(read(next));
  };
  return [typed && read(typed) === value ? typed : text, take] as const;
}
/** A number typed as text, so that a mouse wheel or an arrow key can't change it by accident. */
function NumberInput({ shared, id, ...typed }: Typed & { id: string; shared: object }) {
  const [text, take] = useTyped(typed);
  const { schema } = typed;
  const money = isMoney(schema);
  const unit = money ? (schema as { "x-currency": string })["x-currency"] : unitOf(schema, id);
  return (
    <div className={classes.number}>
      <input
        {...shared}
        className={classes.input}
        inputMode={schema.type === "integer" && !money ? "numeric" : "decimal"}
        value={text}
        onChange={(e) => take(e.target.value)}
      />
      {unit && <span>{unit}</span>}
    </div>
  );
}

/** A text or number input, or a textarea. */
export function Input({
  id,
  value,
  disabled,
  readonly,
  schema,
  type,
  rawErrors,
  onChange,
  placeholder,
}: BaseInputTemplateProps | WidgetProps) {
  const shared = {
    id,
    disabled: disabled || readonly,
    "aria-invalid": !!rawErrors?.length || undefined,
    "aria-describedby": describedBy(id),
    placeholder: placeholder || example(schema),
    spellCheck: false,
    autoComplete: "off",
  };
  const take = (text: string) => onChange(text === "" ? undefined : text);
  const text = value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  if (isLong(schema, id, value))
    return (
      <textarea {...shared} className={classes.area} rows={3} value={text} onChange={(e) => take(e.target.value)} />
    );
  if (isNumber(schema)) return <NumberInput {...{ shared, id, schema, value, onChange }} />;
  const unit = DECIMAL in schema && unitOf(schema, id);
  const input = (
    <input
      {...shared}
      className={classes.input}
      inputMode={DECIMAL in schema ? "decimal" : undefined}
      type={type === "password" || schema.format === "password" ? "password" : "text"}
      value={text}
      onChange={(e) => take(e.target.value)}
    />
  );
  if (!(DECIMAL in schema)) return input;
  return (
    <div className={classes.number}>
      {input}
      {unit && <span>{unit}</span>}
    </div>
  );
}

const moment = (kind: "date" | "time" | "datetime-local") =>
  function Moment({ id, value, disabled, readonly, rawErrors, onChange }: WidgetProps) {
    const zoned = kind === "datetime-local";
    // A value that the browser's input can't hold, such as a date pasted into the JSON, stays readable as text.
    const shown = zoned ? toInput(value as string) : ((value as string | undefined) ?? "");
    const foreign = !!value && (zoned ? !shown : !/^[\d:.-]+$/.test(shown));
    const input = (
      <input
        id={id}
        type={foreign ? "text" : kind}
        step={kind === "date" ? undefined : 1}
        className={classes.input}
        data-narrow
        disabled={disabled || readonly}
        aria-invalid={!!rawErrors?.length || undefined}
        aria-describedby={describedBy(id)}
        value={foreign ? String(value) : shown}
        onChange={(e) => {
          const text = e.target.value;
          onChange(zoned && !foreign ? fromInput(text) : text || undefined);
        }}
      />
    );
    if (!zoned) return input;
    return (
      <div className={classes.number}>
        {input}
        <span>{zoneName()}</span>
      </div>
    );
  };
export const DateInput = moment("date");
export const TimeInput = moment("time");
export const MomentInput = moment("datetime-local");
