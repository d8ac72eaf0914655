/** Building blocks of the form's fields and templates. */
import { Plus } from "lucide-react";
import { createContext, useContext, type ReactNode } from "react";
import { Button } from "../Button";
import classes from "./Form.module.css";
import type { Schema } from "./schema";

export interface FormState {
  root: Schema;
  /** Set the value at a path of the input. */
  put(path: (string | number)[], value: unknown): void;
}
/** The id whose label is already rendered: the chosen kind of a union uses the union's label. */
export const Drawn = createContext<string | undefined>(undefined);
export const useDrawn = (id: string) => useContext(Drawn) === id;

export const titleId = (id: string) => `${id}__title`;
export const faultId = (id: string) => `${id}__fault`;
export const descriptionId = (id: string) => `${id}__description`;
/** The ids that describe a control: its fault and its description. */
export const describedBy = (id: string) => `${faultId(id)} ${descriptionId(id)}`;

const UNITS: [RegExp, string][] = [
  [/_seconds?$/, "s"],
  [/_ms$|_milliseconds?$/, "ms"],
  [/_minutes?$/, "min"],
  [/_hours?$/, "h"],
  [/_days?$/, "days"],
  [/_cents$/, "cents"],
  [/_percent$/, "%"],
  [/_usd$/, "USD"],
  [/_bytes$/, "bytes"],
];
/** The unit of a number: from the schema, or from its name. */
export const unitOf = (schema: Schema, id: string): string | undefined =>
  (schema as { "x-unit"?: string })["x-unit"] ?? UNITS.find(([name]) => name.test(id))?.[1];

export function Head({
  id,
  label,
  optional,
  control,
}: {
  id: string;
  label: ReactNode;
  /** It may stay empty, and then it has no value. */
  optional?: boolean;
  control?: boolean;
}) {
  const Tag = control ? "label" : "span";
  return (
    <Tag className={classes.label} id={titleId(id)} {...(control ? { htmlFor: id } : {})}>
      {label}
      {optional && <i> optional</i>}
    </Tag>
  );
}
export const Add = ({
  word,
  label,
  onClick,
  disabled,
}: {
  word: string;
  label?: string;
  onClick(): void;
  disabled?: boolean;
}) => (
  <Button
    small
    className={classes.add}
    icon={<Plus size={13} aria-hidden />}
    onClick={onClick}
    disabled={disabled}
    aria-label={label}
  >
    {word}
  </Button>
);
