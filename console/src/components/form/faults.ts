/** What is wrong with an input, and where: checked here for fast feedback, and by the server, which decides. */
import { Validator, type OutputUnit, type Schema as Checked } from "@cfworker/json-schema";
import type { ErrorSchema } from "@rjsf/utils";
import { isRounded } from "./numbers";
import { label } from "./schema";

export interface Fault {
  /** A JSON pointer into the input. */
  pointer: string;
  message: string;
}
type Branches = Map<string, OutputUnit[]>;
// Keywords that only wrap a deeper, more precise fault.
const WRAPPERS = new Set(
  "properties items prefixItems $ref allOf anyOf oneOf additionalProperties patternProperties if then else dependentSchemas".split(
    " ",
  ),
);
const STRICT = /format "(date|email|uuid)"/; // for other formats the server accepts more than the standards do
const MOST = 50;
const last = (text: string) => /(-?[\d.]+)\)?\.$/.exec(text)?.[1] ?? "";
const MESSAGES: Record<string, (error: string) => string> = {
  required: () => "Required",
  type: (e) => `Must be ${e.split("Expected ")[1]?.replace(/[".]/g, "").replaceAll(",", " or") ?? "of another type"}`,
  enum: () => "Isn’t one of the choices",
  const: () => "Doesn’t have the required value",
  pattern: () => "Doesn’t have the expected format",
  format: (e) => `Isn’t a valid ${/format "(.*)"/.exec(e)?.[1] ?? "value"}`,
  minLength: (e) => (last(e) === "1" ? "Required" : `Needs at least ${last(e)} characters`),
  maxLength: (e) => `Allows at most ${last(e)} characters`,
  minItems: (e) => `Needs at least ${last(e)}`,
  maxItems: (e) => `Allows at most ${last(e)}`,
  minimum: (e) => `Must be at least ${last(e)}`,
  maximum: (e) => `Must be at most ${last(e)}`,
  exclusiveMinimum: (e) => `Must be more than ${last(e)}`,
  exclusiveMaximum: (e) => `Must be less than ${last(e)}`,
  multipleOf: (e) => `Must be a multiple of ${last(e)}`,
  uniqueItems: () => "Has the same entry twice",
  false: () => "Unknown field",
  anyOf: () => "Matches none of the kinds",
  oneOf: () => "Matches none of the kinds, or several",
};
const within = (inner: string, outer: string) => inner === outer || inner.startsWith(`${outer}/`);

/** For each union, keep only the faults of the best matching branch: a card shouldn't be missing what only an account has. */
function bestBranches(units: OutputUnit[]): OutputUnit[] {
  const dropped = new Set<OutputUnit>();
  for (const union of units) {
    if ((union.keyword !== "anyOf" && union.keyword !== "oneOf") || dropped.has(union)) continue;
    const branches: Branches = new Map();
    for (const u of units) {
      if (dropped.has(u) || !u.keywordLocation.startsWith(`${union.keywordLocation}/`)) continue;
      if (!within(u.instanceLocation, union.instanceLocation)) continue;
      const branch = u.keywordLocation.slice(union.keywordLocation.length + 1).split("/")[0]!;
      branches.set(branch, [...(branches.get(branch) ?? []), u]);
    }
    const misses = (us: OutputUnit[]) =>
      us.reduce((n, u) => {
        if (u.keyword === "const" || u.keyword === "enum") return n + 100;
        return n + (u.keyword === "type" && u.instanceLocation === union.instanceLocation ? 1000 : 1);
      }, 0);
    const best = [...branches.values()].sort((a, b) => misses(a) - misses(b))[0];
    for (const us of branches.values()) if (us !== best) us.forEach((u) => dropped.add(u));
  }
  return units.filter((u) => !dropped.has(u));
}
const escaped = (key: string) => key.replace(/~/g, "~0").replace(/\//g, "~1");
function toFault(u: OutputUnit): Fault {
  const pointer = decodeURIComponent(u.instanceLocation.replace(/^#/, ""));
  const missing = u.keyword === "required" ? /property "(.+)"\.$/.exec(u.error)?.[1] : undefined;
  return {
    pointer: missing === undefined ? pointer : `${pointer}/${escaped(missing)}`,
    message: MESSAGES[u.keyword]?.(u.error) ?? u.error.replace(/\.$/, ""),
  };
}
const byPlace = (faults: Fault[]) => [...new Map(faults.map((f) => [f.pointer, f])).values()].slice(0, MOST);

const ROUNDED = "A browser would round this number: start the run with the CLI";
/** Integers that lose digits in a browser, including those of an earlier run. */
function rounded(value: unknown, pointer = ""): Fault[] {
  if (typeof value === "number") return isRounded(value) ? [{ pointer, message: ROUNDED }] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, v]) => rounded(v, `${pointer}/${escaped(key)}`));
}
const digits = (f: Fault, input: unknown): Fault =>
  /^Must be (integer|number)/.test(f.message) && isRounded(valueAt(input, f.pointer)) ? { ...f, message: ROUNDED } : f;

/** The faults of an input under the workflow's own schema, one per path. An unreadable schema yields none. */
export function check(input: unknown, schema: unknown): Fault[] {
  try {
    const units = bestBranches(new Validator(schema as Checked, "2020-12", false).validate(input ?? null).errors);
    const counted = units.filter((u) => u.keyword !== "format" || STRICT.test(u.error));
    const precise = counted.filter((u) => !WRAPPERS.has(u.keyword));
    const lone = counted.filter(
      (u) =>
        (u.keyword === "anyOf" || u.keyword === "oneOf") &&
        !precise.some((p) => within(p.instanceLocation, u.instanceLocation)),
    );
    return byPlace(
      [...precise, ...lone]
        .map(toFault)
        .map((f) => digits(f, input))
        .concat(rounded(input)),
    );
  } catch {
    return rounded(input);
  }
}
/** Whether a value matches a part of a schema: how a form knows which kind of a union to show. */
export function matches(value: unknown, part: object, root: { $defs?: unknown; definitions?: unknown }): boolean {
  try {
    const whole = part === root ? part : { ...part, $defs: root.$defs, definitions: root.definitions };
    return new Validator(whole as Checked, "2020-12", true).validate(value ?? null).valid;
  } catch {
    return false;
  }
}

/** Splits the server's faults into those of `/input`, by field, and those of the rest of the request. */
export function split(faults: Fault[]): { input: Fault[]; rest: Fault[] } {
  const input: Fault[] = [];
  const rest: Fault[] = [];
  for (const f of faults) {
    if (!within(f.pointer, "/input")) rest.push(f);
    else {
      const missing = /^"(.+)" is a required property$/.exec(f.message)?.[1];
      const pointer = f.pointer.slice("/input".length);
      input.push(
        missing === undefined
          ? { pointer, message: f.message }
          : { pointer: `${pointer}/${escaped(missing)}`, message: "Required" },
      );
    }
  }
  return { input: byPlace(input), rest };
}
export const pathOf = (pointer: string) =>
  pointer
    .split("/")
    .slice(1)
    .map((p) => p.replace(/~1/g, "/").replace(/~0/g, "~"));
/** The path in words: `Lines 2, Amount`. */
export const placeOf = (pointer: string) =>
  pathOf(pointer)
    .map((p) => (/^\d+$/.test(p) ? String(Number(p) + 1) : label(p)))
    .join(", ")
    .replace(/, (\d+)/g, " $1") || "The input";
export function toErrorSchema(faults: Fault[]): ErrorSchema {
  const root: ErrorSchema = {};
  for (const f of faults) {
    let at = root as Record<string, ErrorSchema> & ErrorSchema;
    for (const part of pathOf(f.pointer)) {
      if (!Object.hasOwn(at, part))
        Object.defineProperty(at, part, { value: {}, enumerable: true, writable: true, configurable: true });
      at = at[part] as typeof at;
    }
    at.__errors = [...(at.__errors ?? []), f.message];
  }
  return root;
}
const valueAt = (value: unknown, pointer: string): unknown =>
  pathOf(pointer).reduce<unknown>((v, p) => (v as Record<string, unknown> | null | undefined)?.[p], value);
/** The server's faults that still apply: those whose value hasn't changed since it was sent. */
export const stillValid = (faults: Fault[], was: unknown, now: unknown) =>
  faults.filter((f) => JSON.stringify(valueAt(was, f.pointer)) === JSON.stringify(valueAt(now, f.pointer)));
