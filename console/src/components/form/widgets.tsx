import type { RegistryWidgetsType, WidgetProps } from "@rjsf/utils";
import { useMemo } from "react";
import { count } from "../../format";
import classes from "./Form.module.css";
import { DateInput, Input, MomentInput, TimeInput } from "./inputs";
import { describedBy, titleId } from "./parts";
import type { Schema } from "./schema";

const FEW = 4;
const SHORT = 40; // total characters of all choices
const UNSET = "";
const MANY = 100; // choices; with more, the user types to find one
const OFFERED = 50;

const isShort = (labels: string[]) => labels.length <= FEW && labels.join("").length <= SHORT;
const choicesOf = (s: Schema) =>
  (s.enum ?? (s.oneOf ?? s.anyOf)?.map((o) => (o as Schema).const ?? (o as Schema).title) ?? []).map(String);
/** Whether its choices are shown side by side: a group, not a single control. */
export const isPicked = (s: Schema) => s.type === "boolean" || (!!s.enum && isShort(choicesOf(s)));

interface Choice {
  value: unknown;
  label: string;
}
/** One of a few, side by side. */
function Pick({ id, choices, value, optional, disabled, label, onChange }: Picking) {
  const all = optional ? [...choices, { value: undefined, label: "Not set" }] : choices;
  return (
    <div
      className={classes.pick}
      id={id}
      tabIndex={-1}
      role="radiogroup"
      aria-labelledby={label ? undefined : titleId(id)}
      aria-label={label}
      aria-describedby={describedBy(id)}
    >
      {all.map((c) => (
        <label key={c.label}>
          <input
            type="radio"
            name={id}
            className="visually-hidden"
            disabled={disabled}
            checked={value === c.value || (value === undefined && c.value === undefined)}
            onChange={() => onChange(c.value)}
          />
          <span>{c.label}</span>
        </label>
      ))}
    </div>
  );
}
interface Picking {
  id: string;
  choices: Choice[];
  value: unknown;
  optional: boolean;
  disabled?: boolean;
  /** The accessible name, if there is no visible label. */
  label?: string;
  onChange(value: unknown): void;
}

/** One of very many: typed, with matching suggestions. Text that matches none stays as typed, and is a fault. */
function Find({
  id,
  choices,
  value,
  disabled,
  wrong,
  onChange,
}: Pick<Picking, "id" | "choices" | "value" | "disabled" | "onChange"> & { wrong: boolean }) {
  const byLabel = useMemo(() => new Map(choices.map((c) => [c.label, c.value])), [choices]);
  const text = choices.find((c) => c.value === value)?.label ?? (value == null ? "" : String(value));
  const words = text.toLowerCase();
  const matching = choices.filter((c) => c.label.toLowerCase().includes(words)).slice(0, OFFERED);
  return (
    <>
      <input
        id={id}
        list={`${id}__choices`}
        className={classes.input}
        placeholder={`Type to find one of ${count(choices.length)}`}
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        aria-invalid={wrong || undefined}
        aria-describedby={describedBy(id)}
        value={text}
        onChange={(e) => {
          const next = e.target.value;
          onChange(next === "" ? undefined : byLabel.has(next) ? byLabel.get(next) : next);
        }}
      />
      <datalist id={`${id}__choices`}>
        {matching.map((c) => (
          <option key={c.label} value={c.label} />
        ))}
      </datalist>
    </>
  );
}

/** One of several: side by side if they are few and short, otherwise a select. Also used for the kind of a union. */
function Select({
  id,
  options,
  value,
  required,
  disabled,
  readonly,
  rawErrors,
  label,
  name,
  schema,
  onChange,
}: WidgetProps) {
  const choices = (options.enumOptions ?? []) as Choice[];
  const kind = /__(any|one)of_select$/.test(name);
  const optional = !required && !kind && schema.default === undefined;
  const off = disabled || readonly;
  if (isShort(choices.map((c) => c.label)))
    return (
      <Pick
        id={id}
        choices={choices}
        value={value}
        optional={optional}
        disabled={off}
        label={kind ? `${label}, kind` : undefined}
        onChange={onChange}
      />
    );
  if (choices.length > MANY && !kind)
    return <Find {...{ id, choices, value, onChange }} disabled={off} wrong={!!rawErrors?.length} />;
  const at = choices.findIndex((c) => c.value === value);
  return (
    <select
      id={id}
      className={classes.select}
      aria-label={kind ? `${label}, kind` : undefined}
      aria-invalid={!!rawErrors?.length || undefined}
      aria-describedby={describedBy(id)}
      disabled={off}
      value={at < 0 ? UNSET : String(at)}
      onChange={(e) => onChange(e.target.value === UNSET ? undefined : choices[Number(e.target.value)]!.value)}
    >
      {(at < 0 || optional) && <option value={UNSET}>{required ? "Choose one" : "Not set"}</option>}
      {choices.map((c, i) => (
        <option key={i} value={i}>
          {c.label}
        </option>
      ))}
    </select>
  );
}
const YES_NO: Choice[] = [
  { value: true, label: "Yes" },
  { value: false, label: "No" },
];
const YesNo = ({ id, value, required, disabled, readonly, schema, onChange }: WidgetProps) => (
  <Pick
    id={id}
    choices={YES_NO}
    value={value}
    optional={!required && schema.default === undefined}
    disabled={disabled || readonly}
    onChange={onChange}
  />
);

export const widgets: RegistryWidgetsType = {
  TextWidget: Input,
  TextareaWidget: Input,
  PasswordWidget: Input,
  EmailWidget: Input,
  URLWidget: Input,
  UpDownWidget: Input,
  RangeWidget: Input,
  ColorWidget: Input,
  FileWidget: Input,
  SelectWidget: Select,
  RadioWidget: Select,
  CheckboxWidget: YesNo,
  DateWidget: DateInput,
  DateTimeWidget: MomentInput,
  TimeWidget: TimeInput,
};
