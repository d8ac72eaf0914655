import { getDefaultRegistry } from "@rjsf/core";
import { ADDITIONAL_PROPERTY_FLAG, RJSF_REF_CYCLE_KEY, type FieldProps, type RegistryFieldsType } from "@rjsf/utils";
import { useEffect, useState, type ComponentType } from "react";
import { Button } from "../Button";
import classes from "./Form.module.css";
import { Chips, Lines, Toggles } from "./lists";
import { Add, describedBy, useDrawn, type FormState } from "./parts";
import { initial, resolve, type Schema } from "./schema";

const core = getDefaultRegistry().fields as Record<string, ComponentType<FieldProps>>;
const CoreObject = core.ObjectField!;
const CoreSchema = core.SchemaField!;
const CoreArray = core.ArrayField!;
const SHORT = 40; // characters; texts up to that length are shown as chips

const isComposed = (s: Schema) => s.type === "object" || s.type === "array" || !!s.properties;

/** An optional composite appears only once it is added, and can be removed again. */
function Optional({ props, of: Inner, parts }: { props: FieldProps; of: ComponentType<FieldProps>; parts: Schema }) {
  const { root } = props.registry.formContext as FormState;
  const drawn = useDrawn(props.fieldPathId.$id);
  const path = props.fieldPathId.path;
  if (props.required || drawn || !path.length || typeof path.at(-1) === "number") return <Inner {...props} />;
  const put = (value: unknown) => props.onChange(value as never, path);
  if (props.formData === undefined || props.formData === null)
    return (
      <Add
        word="Add"
        label={`Add ${props.schema.title ?? props.name}`}
        onClick={() => put(initial(parts, root) ?? {})}
        disabled={props.disabled}
      />
    );
  return (
    <>
      <Inner {...props} />
      <Button
        small
        look="quiet"
        className={classes.take}
        onClick={() => put(undefined)}
        aria-label={`Remove ${props.schema.title ?? props.name}`}
      >
        Remove
      </Button>
    </>
  );
}
/** Whether it only has entries with free names: then there is nothing to add before the first one. */
const isMap = (s: Schema) =>
  Object.values(s.properties ?? {}).every((p) => typeof p === "object" && ADDITIONAL_PROPERTY_FLAG in p);
const ObjectField = (props: FieldProps) =>
  props.schema.anyOf || props.schema.oneOf || isMap(props.schema) ? (
    <CoreObject {...props} />
  ) : (
    <Optional props={props} of={CoreObject} parts={props.schema} />
  );

/** A union, treated as an optional composite if one of its kinds is composite. */
const union = (Inner: ComponentType<FieldProps>) =>
  function Union(props: FieldProps) {
    const { root } = props.registry.formContext as FormState;
    const kinds = (props.schema.anyOf ?? props.schema.oneOf ?? []) as Schema[];
    return kinds.some((k) => isComposed(resolve(k, root))) ? (
      <Optional props={props} of={Inner} parts={props.schema} />
    ) : (
      <Inner {...props} />
    );
  };

/** A list: choices as toggles, short texts as chips, texts as lines, everything else as cards. */
function ListField(props: FieldProps) {
  const { schema, formData, registry, fieldPathId, disabled, readonly, onChange } = props;
  const { root } = registry.formContext as FormState;
  const value = (Array.isArray(formData) ? formData : []) as unknown[];
  const items =
    schema.items && typeof schema.items === "object" && !Array.isArray(schema.items)
      ? resolve(schema.items as Schema, root)
      : undefined;
  const shared = {
    id: fieldPathId.$id,
    label: String(schema.title ?? props.name),
    disabled: disabled || readonly,
    most: schema.maxItems,
    onChange: (next: unknown[]) => onChange(next as never, fieldPathId.path),
  };
  if (items?.enum && new Set(value).size === value.length && value.every((v) => items.enum!.includes(v as never)))
    return <Toggles {...shared} value={value} choices={items.enum} />;
  const texts = items?.type === "string" && !items.enum && value.every((v) => typeof v === "string");
  if (texts && !items.format?.startsWith("date") && items.format !== "time") {
    const short = (items.maxLength ?? Infinity) <= SHORT || !!items.format || !!items.pattern || schema.uniqueItems;
    const List = short ? Chips : Lines;
    return <List {...shared} value={value as string[]} />;
  }
  return <CoreArray {...props} />;
}

/** What a form can't render is edited as JSON. */
function JsonField({ formData, fieldPathId, disabled, readonly, onChange, schema, name }: FieldProps) {
  const written = formData === undefined ? "" : JSON.stringify(formData, null, 2);
  const [text, setText] = useState(written);
  const [wrong, setWrong] = useState<string>();
  useEffect(() => {
    setText((old) => (same(old, formData) ? old : written));
  }, [written]);
  function take(next: string) {
    setText(next);
    try {
      onChange((next.trim() ? JSON.parse(next) : undefined) as never, fieldPathId.path);
      setWrong(undefined);
    } catch {
      setWrong("Not valid JSON yet: the last valid value is used");
    }
  }
  return (
    <>
      <textarea
        id={fieldPathId.$id}
        className={classes.area}
        data-code
        rows={3}
        spellCheck={false}
        disabled={disabled || readonly}
        aria-label={`${schema.title ?? name}, as JSON`}
        aria-invalid={!!wrong || undefined}
        aria-describedby={describedBy(fieldPathId.$id)}
        placeholder="JSON"
        value={text}
        onChange={(e) => take(e.target.value)}
      />
      {wrong && <p className={classes.fault}>{wrong}</p>}
    </>
  );
}
function same(text: string, value: unknown) {
  try {
    return JSON.stringify(text.trim() ? JSON.parse(text) : undefined) === JSON.stringify(value);
  } catch {
    return false;
  }
}

/** The input parses numbers itself: the library would silently round large ones. */
const NumberField = core.StringField!;

/** A recursive schema needs no guard: it is rendered only if it has a value or was added. */
const Recursive = (props: FieldProps) => (
  <CoreSchema {...props} schema={{ ...props.schema, [RJSF_REF_CYCLE_KEY]: false }} />
);

export const fields: RegistryFieldsType = {
  ObjectField,
  ArrayField: ListField,
  NumberField,
  AnyOfField: union(core.AnyOfField!),
  OneOfField: union(core.OneOfField!),
  FallbackField: JsonField,
  CyclicSchemaField: Recursive,
};
