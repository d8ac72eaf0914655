/** Rewrites a workflow's JSON Schema for use as a form, and builds the form's initial value. */
import type { RJSFSchema } from "@rjsf/utils";
import { words } from "../../format";

export type Schema = RJSFSchema;
type Values = Record<string, unknown>;

/** Marks a required field that may be null: if it is left empty, null is sent. */
const NULLABLE = "x-nullable";
/** Marks a number that is kept as text, so that no digit is lost. */
export const DECIMAL = "x-decimal";
const LITERAL = new Set(["const", "enum", "default", "examples"]);
const NAMED = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]);
const KNOWN = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "items", "if"];
const TYPES: Record<string, string> = {
  string: "Text",
  integer: "Whole number",
  number: "Number",
  boolean: "Yes or no",
  array: "List",
  object: "Object",
};
const DEEPEST = 20; // required fields inside required fields

const isObject = (v: unknown): v is Values => typeof v === "object" && v !== null && !Array.isArray(v);
/** `approval_above_cents` and `CardPayment` as words. */
export const label = (name: string) => words(name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase());
/** An amount in cents, which people read and write in whole units: 50.00 USD for 5000. */
export const isMoney = (s: object) => "x-currency" in s && (s as Values)["x-unit"] === "cents";
const automatic = (title: string, name: string) =>
  title.replace(/[\s_]/g, "").toLowerCase() === name.replace(/[\s_]/g, "").toLowerCase();

/** Follows a schema's reference; returns the schema itself if it has none. */
export function resolve(schema: Schema, root: Schema): Schema {
  let current: Schema = schema;
  for (let hops = 0; current.$ref && hops < DEEPEST; hops++) {
    let target: unknown = root;
    for (const part of current.$ref.split("/").slice(1))
      target = (target as Values | undefined)?.[decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~")];
    const { $ref: _, ...beside } = current;
    current = { ...(isObject(target) ? (target as Schema) : {}), ...beside };
  }
  return current;
}

/** Pydantic writes Decimal as a number or a text. */
const isDecimal = (branches: Values[]) => {
  const [number, text] = branches;
  const plain = text && Object.keys(text).every((k) => k === "type" || k === "pattern");
  return branches.length === 2 && number!.type === "number" && text!.type === "string" && !!plain;
};
const isNull = (s: unknown) => isObject(s) && (s.type === "null" || s.const === null);
/** Removes null, which a form shows as an empty field, and marks the schema as nullable. */
function withoutNull(node: Values): Values {
  if (Array.isArray(node.type)) {
    const types = node.type.filter((t) => t !== "null");
    const { type: _, ...rest } = node;
    const nullable = types.length < node.type.length && { [NULLABLE]: true };
    return types.length === 1
      ? { ...rest, ...nullable, type: types[0] }
      : { ...rest, ...nullable, anyOf: types.map((type) => ({ type })) };
  }
  if (Array.isArray(node.enum) && node.enum.includes(null) && node.enum.length > 1)
    return { ...node, [NULLABLE]: true, enum: node.enum.filter((v) => v !== null) };
  for (const key of ["anyOf", "oneOf", "allOf"] as const) {
    const all = node[key];
    if (!Array.isArray(all)) continue;
    let branches = key === "allOf" ? all : all.filter((b) => !isNull(b));
    if (isDecimal(branches)) branches = [{ type: "string", [DECIMAL]: true }];
    const nullable = branches.length < all.length && all.some(isNull) && key !== "allOf" && { [NULLABLE]: true };
    const { [key]: _, ...rest } = node;
    if (nullable && rest.default === null) delete rest.default;
    if (branches.length === 1) return { ...branches[0], ...rest, ...nullable };
    if (nullable) return { ...rest, ...nullable, [key]: branches };
  }
  return node;
}
/** Whether a form can't render it: it accepts anything, or is an object or list of anything. */
function isFree(node: Values): boolean {
  if (!KNOWN.some((k) => k in node)) return true;
  if (
    node.type === "object" &&
    !["properties", "patternProperties", "anyOf", "oneOf", "allOf", "if"].some((k) => k in node)
  )
    return !isObject(node.additionalProperties) || !Object.keys(node.additionalProperties).length;
  return node.type === "array" && !isObject(node.items) && !("prefixItems" in node);
}
function branchTitle(branch: Values, at: number): string {
  const kind = isObject(branch.properties)
    ? Object.values(branch.properties).find((p) => isObject(p) && "const" in p)
    : undefined;
  const title = branch.title ?? (kind as Values | undefined)?.const ?? branch.const;
  return title !== undefined ? label(String(title)) : (TYPES[String(branch.type)] ?? `Kind ${at + 1}`);
}

/** The schema to render. The form's values match the workflow's own schema once `toInput` has completed them. */
export function formSchema(schema: unknown): Schema {
  return simplify(schema, schema as Schema) as Schema;
}
function simplify(input: unknown, root: Schema, name?: string): unknown {
  if (Array.isArray(input)) return input.map((g) => simplify(g, root));
  if (input === true) return { title: name ? label(name) : undefined, "x-any": true };
  if (!isObject(input)) return input;
  const node = withoutNull(input);
  if (node !== input && ("anyOf" in node || "oneOf" in node || "type" in node || "allOf" in node) && again(node))
    return simplify(node, root, name);
  if (isFree(node))
    return {
      title: titleOf(node, name),
      description: node.description,
      default: node.default ?? undefined,
      "x-any": node.type ?? true,
      [NULLABLE]: node[NULLABLE],
    };
  const out: Values = {};
  for (const [key, value] of Object.entries(node)) {
    if (LITERAL.has(key) || !(isObject(value) || Array.isArray(value))) out[key] = value;
    else if (NAMED.has(key))
      out[key] = Object.fromEntries(
        Object.entries(value).map(([k, v]) => [k, simplify(v, root, key === "properties" ? k : undefined)]),
      );
    else if (key === "required" || key === "type" || key === "mapping" || key === "discriminator") out[key] = value;
    else if (key === "prefixItems") out.items = simplify(value, root);
    else if (key === "anyOf" || key === "oneOf")
      out[key] = (value as Values[]).map((b, i) => {
        const branch = simplify(b, root) as Values;
        return { ...branch, title: branchTitle({ ...resolve(branch as Schema, root), ...branch }, i) };
      });
    else out[key] = simplify(value, root);
  }
  if ("prefixItems" in node && isObject(node.items)) out.additionalItems = simplify(node.items, root);
  if (isObject(out.properties)) out.required = required(node, out.properties, root);
  if (Array.isArray(out.enum) && out.enum.length === 1) out.const = out.enum[0];
  const types = new Set(choices(out).map((v) => typeof v));
  if (!("type" in out) && types.size === 1) out.type = [...types][0];
  const title = titleOf(node, name);
  if (title) out.title = title;
  return out;
}
/** The values of a union of constants. */
function choices(node: Values): unknown[] {
  const branches = (node.oneOf ?? node.anyOf) as Values[] | undefined;
  return branches?.every((b) => "const" in b) ? branches.map((b) => b.const) : [];
}
const again = (node: Values) =>
  Array.isArray(node.type) ||
  ["anyOf", "oneOf", "allOf"].some((k) => Array.isArray(node[k]) && withoutNull(node) !== node);
const titleOf = (node: Values, name: string | undefined) =>
  name !== undefined && (typeof node.title !== "string" || automatic(node.title, name))
    ? label(isMoney(node) ? name.replace(/_cents$/, "") : name)
    : (node.title as string | undefined);
/** The required fields, without nullable ones: a form may leave those empty. */
const required = (node: Values, properties: Values, root: Schema) =>
  ((node.required as string[] | undefined) ?? []).filter((k) => {
    const p = properties[k];
    return !(isObject(p) && (p[NULLABLE] || resolve(p as Schema, root)[NULLABLE] || p.type === "null"));
  });

export const isFixed = (schema: Schema, root: Schema) => resolve(schema, root).const !== undefined;
const isPart = (p: Schema | boolean | undefined): p is Schema => isObject(p);

/** The initial value of a form: defaults, fixed values, and the structure of required parts. */
export function initial(schema: Schema, root: Schema, depth = 0): unknown {
  const s = resolve(schema, root);
  if (s.default !== undefined) return structuredClone(s.default);
  if (s.const !== undefined) return s.const;
  if (s["x-any"]) return s["x-any"] === "object" ? {} : s["x-any"] === "array" ? [] : undefined;
  const first = choices(s).length > 1 ? undefined : (s.anyOf ?? s.oneOf)?.[0];
  if (s.type === "array") {
    const part = isPart(s.items as Schema) ? (s.items as Schema) : undefined;
    if (Array.isArray(s.items))
      return s.items.map((i) => (isPart(i as Schema) ? initial(i as Schema, root, depth + 1) : null));
    const few = part && depth < DEEPEST && resolve(part, root).type === "object" ? (s.minItems ?? 0) : 0;
    return Array.from({ length: few }, () => initial(part!, root, depth + 1));
  }
  if (s.properties || s.type === "object") {
    const value: Values = {};
    for (const [key, p] of Object.entries(s.properties ?? {})) {
      if (!isPart(p)) continue;
      const fixed = resolve(p, root);
      if (!s.required?.includes(key) && fixed.default === undefined) continue;
      const v = depth < DEEPEST ? initial(p, root, depth + 1) : undefined;
      if (v !== undefined) value[key] = v;
    }
    return isPart(first as Schema) ? { ...value, ...(initial(first as Schema, root, depth + 1) as Values) } : value;
  }
  return isPart(first as Schema) ? initial(first as Schema, root, depth + 1) : undefined;
}

/** The value to send: without empty fields, and with null for empty required fields that are nullable. */
export function toInput(value: unknown, original: unknown): unknown {
  const plain = value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
  return completed(plain, original as Schema, original as Schema) ?? null;
}
const takesNull = (s: Schema): boolean =>
  isNull(s) ||
  (Array.isArray(s.type) && s.type.includes("null")) ||
  !!s.enum?.includes(null) ||
  !!(s.anyOf ?? s.oneOf)?.some(isNull);
function completed(value: unknown, schema: Schema | undefined, root: Schema): unknown {
  if (!isPart(schema)) return value;
  const s = resolve(schema, root);
  if (Array.isArray(value)) return value.map((v) => completed(v, s.items as Schema, root));
  if (!isObject(value)) return value;
  const out: Values = { ...value };
  const branches = (s.anyOf ?? s.oneOf ?? []).filter((b): b is Schema => !isNull(b));
  // Only complete the branch of a union that is certain: the only one beside null, or the one whose constant matches.
  const meant = branches.filter((b) => branches.length === 1 || chosen(resolve(b, root), value, root));
  for (const part of [s, ...meant.map((m) => resolve(m, root))]) {
    for (const key of part.required ?? []) {
      const p = part.properties?.[key];
      if (out[key] === undefined && isPart(p) && takesNull(resolve(p, root))) out[key] = null;
    }
    for (const [key, p] of Object.entries(part.properties ?? {}))
      if (key in out) out[key] = completed(out[key], p as Schema, root);
  }
  return out;
}
const chosen = (branch: Schema, value: Values, root: Schema) =>
  Object.entries(branch.properties ?? {}).some(
    ([k, p]) => isPart(p) && resolve(p, root).const !== undefined && resolve(p, root).const === value[k],
  );
