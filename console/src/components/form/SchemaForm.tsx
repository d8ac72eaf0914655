import Form from "@rjsf/core";
import { englishStringTranslator, TranslatableString } from "@rjsf/utils";
import { memo, useEffect, useMemo, useRef } from "react";
import { toErrorSchema, type Fault } from "./faults";
import { fields } from "./fields";
import type { FormState } from "./parts";
import type { Schema } from "./schema";
import { templates } from "./templates";
import { validator } from "./validator";
import { widgets } from "./widgets";

const PREFIX = "input";
const SEPARATOR = ".";
/** The id of the control at a path of the input. */
export const controlId = (path: string[]) => [PREFIX, ...path].join(SEPARATOR);
const BEHAVIOUR = { emptyObjectFields: "skipDefaults", arrayMinItems: { populate: "never" } } as const;

/** The library's own texts aren't shown. The only override: a new entry of a map starts empty. */
const translate = (word: TranslatableString, params?: string[]) =>
  word === TranslatableString.NewStringDefault ? "" : englishStringTranslator(word, params);

interface Props {
  /** A schema for forms: see `formSchema`. */
  schema: Schema;
  value: unknown;
  faults: Fault[];
  disabled?: boolean;
  onChange(value: unknown): void;
}
/** A form generated from a JSON Schema. It is controlled, and shows the faults passed to it. */
export const SchemaForm = memo(function SchemaForm({ schema, value, faults, disabled, onChange }: Props) {
  const latest = useRef({ value, onChange });
  useEffect(() => {
    latest.current = { value, onChange };
  });
  const context = useMemo<FormState>(
    () => ({
      root: schema,
      put: (path, next) => latest.current.onChange(put(latest.current.value, path, next)),
    }),
    [schema],
  );
  const errors = useMemo(() => toErrorSchema(faults), [faults]);
  return (
    <Form
      tagName="div"
      schema={schema}
      formData={value}
      onChange={(e) => onChange(e.formData)}
      validator={validator}
      noValidate
      extraErrors={errors}
      showErrorList={false}
      disabled={disabled}
      idPrefix={PREFIX}
      idSeparator={SEPARATOR}
      formContext={context}
      experimental_defaultFormStateBehavior={BEHAVIOUR}
      fields={fields}
      templates={templates}
      widgets={widgets}
      translateString={translate}
    >
      <span hidden />
    </Form>
  );
});

/** A copy of the value with the one at a path replaced. */
function put(value: unknown, path: (string | number)[], next: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return next;
  if (Array.isArray(value)) return value.map((v, i) => (i === Number(key) ? put(v, rest, next) : v));
  const object = (value ?? {}) as Record<string, unknown>;
  return { ...object, [key]: put(object[key], rest, next) };
}
