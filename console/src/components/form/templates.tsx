import {
  ADDITIONAL_PROPERTY_FLAG,
  canExpand,
  type ArrayFieldItemTemplateProps,
  type ArrayFieldTemplateProps,
  type FieldTemplateProps,
  type MultiSchemaFieldTemplateProps,
  type ObjectFieldTemplateProps,
  type TemplatesType,
} from "@rjsf/utils";
import { ChevronDown, ChevronRight, ChevronUp, X } from "lucide-react";
import { useContext, useState, type ReactNode } from "react";
import { plural } from "../../format";
import classes from "./Form.module.css";
import { Input } from "./inputs";
import { moneyText } from "./numbers";
import { Add, Drawn, faultId, Head, descriptionId, useDrawn, type FormState } from "./parts";
import { initial, isFixed, isMoney, label as inWords, resolve, type Schema } from "./schema";
import { isPicked } from "./widgets";

const FEW = 2; // up to this many optional fields of a nested object aren't collapsed

const isControl = (schema: Schema) =>
  ["string", "number", "integer", undefined].includes(schema.type as string) && !isPicked(schema);

/** A field: its label, the control, and its errors or description. */
function Field(props: FieldTemplateProps) {
  const { id, label, required, errors, rawErrors, rawDescription, children, hidden, schema, fieldPathId } = props;
  const drawn = useDrawn(id);
  const path = fieldPathId.path;
  if (hidden) return <div hidden>{children}</div>;
  const entry = ADDITIONAL_PROPERTY_FLAG in schema;
  const item = typeof path.at(-1) === "number";
  const faults = (errors ? (rawErrors ?? []) : []).map((f) => (isMoney(schema) ? inMoney(f) : f));
  const plain = !path.length || drawn || entry;
  const body = (
    <div className={classes.field} data-fault={faults.length > 0 || undefined} data-wide={isWide(schema) || undefined}>
      {!plain &&
        (item ? (
          <span className="visually-hidden">
            <Head id={id} label={label} control={isControl(schema)} />
          </span>
        ) : (
          <Head
            id={id}
            label={label}
            optional={!required && schema.default === undefined}
            control={isControl(schema)}
          />
        ))}
      {children}
      {faults.length > 0 && (
        <p className={classes.fault} id={faultId(id)}>
          {faults.join(". ")}
        </p>
      )}
      {!plain && rawDescription && <p id={descriptionId(id)}>{rawDescription}</p>}
    </div>
  );
  return entry ? <Entry {...props}>{body}</Entry> : body;
}
/** "Must be at most 5000" with 50.00, as the user types it. */
const inMoney = (fault: string) =>
  fault.replace(/^(Must be .*?)(-?\d+)$/, (_, prefix, n) => prefix + moneyText(Number(n)));
const isWide = (s: Schema) =>
  s.type === "object" || s.type === "array" || !!s.anyOf || !!s.oneOf || (s.maxLength ?? 0) > 80;

/** One entry of a map: its name and its value. */
function Entry({
  id,
  label,
  onKeyRenameBlur,
  onRemoveProperty,
  children,
}: FieldTemplateProps & { children: ReactNode }) {
  return (
    <div className={classes.entry}>
      <input
        className={classes.input}
        aria-label="Name"
        defaultValue={label}
        key={label}
        id={`${id}-key`}
        onBlur={onKeyRenameBlur}
      />
      {children}
      <button type="button" className={classes.icon} aria-label={`Remove ${label}`} onClick={onRemoveProperty}>
        <X size={13} aria-hidden />
      </button>
    </div>
  );
}

/** The fields of an object: required ones first, optional ones collapsed below. */
function Fields(props: ObjectFieldTemplateProps) {
  const { properties, schema, formData, errorSchema, fieldPathId, registry, disabled } = props;
  const { root } = registry.formContext as FormState;
  const [open, setOpen] = useState<boolean>();
  const value = (formData ?? {}) as Record<string, unknown>;
  const part = (name: string) => resolve((schema.properties?.[name] ?? {}) as Schema, root);
  const shown = properties.filter((p) => !p.hidden && !isFixed((schema.properties?.[p.name] ?? {}) as Schema, root));
  const must = shown.filter((p) => schema.required?.includes(p.name) || ADDITIONAL_PROPERTY_FLAG in part(p.name));
  const may = shown.filter((p) => !must.includes(p));
  const changed = may.some((p) => {
    const current = value[p.name];
    return current !== undefined && JSON.stringify(current) !== JSON.stringify(part(p.name).default);
  });
  const wrong = may.some((p) => (errorSchema as Record<string, unknown> | undefined)?.[p.name]);
  const nested = fieldPathId.path.length > 0;
  const isMap =
    shown.every((p) => ADDITIONAL_PROPERTY_FLAG in part(p.name)) && canExpand(schema, props.uiSchema, formData);
  const folds = may.length > (nested ? FEW : 0) && must.length > 0;
  const unfolded = !folds || wrong || (open ?? changed);
  const withDefault = may.every((p) => part(p.name).default !== undefined);
  return (
    <div
      className={classes.fields}
      data-framed={(nested && !isMap && typeof fieldPathId.path.at(-1) !== "number") || undefined}
      id={nested ? fieldPathId.$id : undefined}
      tabIndex={nested ? -1 : undefined}
    >
      {must.map((p) => p.content)}
      {folds && (
        <button type="button" className={classes.more} aria-expanded={unfolded} onClick={() => setOpen(!unfolded)}>
          {unfolded ? <ChevronDown size={13} aria-hidden /> : <ChevronRight size={13} aria-hidden />}
          {withDefault
            ? plural(may.length, "field with a default", "fields with defaults")
            : plural(may.length, "optional field")}
        </button>
      )}
      {unfolded && may.length > 0 && <div className={classes.pair}>{may.map((p) => p.content)}</div>}
      {canExpand(schema, props.uiSchema, formData) && (
        <Add word="Add entry" onClick={props.onAddProperty} disabled={disabled} />
      )}
    </div>
  );
}

/** A list of objects, lists or unions: one card each. */
function Cards({
  items,
  schema,
  formData,
  fieldPathId,
  registry,
  canAdd,
  disabled,
  onAddClick,
}: ArrayFieldTemplateProps) {
  const { root, put } = registry.formContext as FormState;
  const parts = schema.items;
  const add = () =>
    parts && typeof parts === "object" && !Array.isArray(parts)
      ? put(fieldPathId.path, [...((formData as unknown[]) ?? []), initial(parts as Schema, root) ?? null])
      : onAddClick();
  return (
    <div className={classes.cards} id={fieldPathId.$id} tabIndex={-1}>
      {items}
      {canAdd && <Add word={items.length ? "Add another" : "Add one"} onClick={add} disabled={disabled} />}
    </div>
  );
}
function Card({ children, index, buttonsProps: b, schema }: ArrayFieldItemTemplateProps) {
  const name = typeof schema.title === "string" ? inWords(schema.title) : "";
  const word = `${name} ${index + 1}`.trim();
  return (
    <div className={classes.card}>
      <header>
        <span>{word}</span>
        {b.hasMoveUp && (
          <button type="button" className={classes.icon} aria-label={`Move ${word} up`} onClick={b.onMoveUpItem}>
            <ChevronUp size={13} aria-hidden />
          </button>
        )}
        {b.hasMoveDown && (
          <button type="button" className={classes.icon} aria-label={`Move ${word} down`} onClick={b.onMoveDownItem}>
            <ChevronDown size={13} aria-hidden />
          </button>
        )}
        {b.hasRemove && (
          <button type="button" className={classes.icon} aria-label={`Remove ${word}`} onClick={b.onRemoveItem}>
            <X size={13} aria-hidden />
          </button>
        )}
      </header>
      {children}
    </div>
  );
}
/** A union: the choice of its kind, then that kind's fields under the same label. */
function Kinds({ selector, optionSchemaField }: MultiSchemaFieldTemplateProps) {
  const id = (optionSchemaField as { props?: { fieldPathId?: { $id: string } } } | null)?.props?.fieldPathId?.$id;
  const above = useContext(Drawn);
  return (
    <div className={classes.kinds}>
      {selector}
      <Drawn value={id ?? above}>{optionSchemaField}</Drawn>
    </div>
  );
}
const Nothing = () => null;

export const templates: Partial<TemplatesType> = {
  FieldTemplate: Field,
  ObjectFieldTemplate: Fields,
  ArrayFieldTemplate: Cards,
  ArrayFieldItemTemplate: Card,
  MultiSchemaFieldTemplate: Kinds,
  BaseInputTemplate: Input,
  FieldErrorTemplate: Nothing,
  FieldHelpTemplate: Nothing,
  DescriptionFieldTemplate: Nothing,
  ErrorListTemplate: Nothing,
};
