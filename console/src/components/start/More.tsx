import { useId, type ReactNode } from "react";
import form from "../form/Form.module.css";
import { Chips } from "../form/lists";
import { titleId } from "../form/parts";
import { fromInput, toInput } from "../../zoned";
import { zoneName } from "../../format";
import classes from "./Start.module.css";

export interface Extra {
  reference: string;
  tags: string[];
  note: string;
  /** An RFC 3339 time. */
  start_at?: string;
}
export const NONE: Extra = { reference: "", tags: [], note: "" };
export const isUsed = (e: Extra) => !!(e.reference || e.tags.length || e.note || e.start_at);
const MAX_NAME = 255;
const MAX_NOTE = 4_000;
const MAX_TAGS = 20;

interface RowProps {
  id: string;
  label: string;
  hint: string;
  faults: string[];
  group?: boolean;
  children: ReactNode;
}
const Row = ({ id, label, hint, faults, group, children }: RowProps) => (
  <div className={form.field} data-fault={faults.length > 0 || undefined}>
    {group ? (
      <span className={form.label} id={titleId(id)}>
        {label}
      </span>
    ) : (
      <label className={form.label} htmlFor={id}>
        {label}
      </label>
    )}
    {children}
    <p className={faults.length ? form.fault : undefined}>{faults.length ? faults.join(". ") : hint}</p>
  </div>
);

/** The optional fields of a run: reference, tags, note, and start time. */
export function More({
  value,
  faultsAt,
  disabled,
  onChange,
}: {
  value: Extra;
  /** The faults of one field of the request. */
  faultsAt(field: string): string[];
  disabled?: boolean;
  onChange(value: Extra): void;
}) {
  const id = useId();
  const set = (change: Partial<Extra>) => onChange({ ...value, ...change });
  return (
    <div className={classes.extra}>
      <Row
        id={`${id}r`}
        label="Reference"
        hint="Your own name for the run, to find it by."
        faults={faultsAt("reference")}
      >
        <input
          id={`${id}r`}
          className={form.input}
          maxLength={MAX_NAME}
          disabled={disabled}
          value={value.reference}
          onChange={(e) => set({ reference: e.target.value })}
        />
      </Row>
      <Row id={`${id}t`} label="Tags" hint="For filtering runs." faults={faultsAt("tags")} group>
        <Chips
          id={`${id}t`}
          label="Tag"
          value={value.tags}
          most={MAX_TAGS}
          disabled={disabled}
          onChange={(tags) => set({ tags: [...new Set(tags)] })}
        />
      </Row>
      <Row
        id={`${id}s`}
        label="Start later"
        hint={`Earliest time, in ${zoneName()}; empty means now.`}
        faults={faultsAt("start_at")}
      >
        <input
          id={`${id}s`}
          type="datetime-local"
          className={form.input}
          data-narrow
          disabled={disabled}
          value={toInput(value.start_at).slice(0, 16)}
          onChange={(e) => set({ start_at: fromInput(e.target.value) })}
        />
      </Row>
      <Row id={`${id}n`} label="Note" hint="Shown with the run." faults={faultsAt("note")}>
        <textarea
          id={`${id}n`}
          className={form.area}
          rows={2}
          maxLength={MAX_NOTE}
          disabled={disabled}
          value={value.note}
          onChange={(e) => set({ note: e.target.value })}
        />
      </Row>
    </div>
  );
}
