/** What a tool's schema tells people about its arguments: labels, units, descriptions. */
import { whole, words } from "../../format";
import { escaped } from "../../unseen";

export interface Property {
  title?: string;
  type?: string | string[];
  description?: string;
  format?: string;
  enum?: unknown[];
  anyOf?: Property[];
  "x-unit"?: string;
  "x-currency"?: string;
}
export type Arguments = Record<string, unknown>;

export const isRecord = (v: unknown): v is Record<string, unknown> =>
  typeof v === "object" && v !== null && !Array.isArray(v);
/** An own property: an argument may be called `constructor`. */
export const own = <T>(of: Record<string, T> | undefined, key: string): T | undefined =>
  of && Object.hasOwn(of, key) ? of[key] : undefined;
const text = (value: unknown) => (typeof value === "string" ? value : undefined);

/** The properties of a schema registered by a worker; malformed parts are left out. */
export function propertiesOf(schema: unknown): Record<string, Property> {
  const properties = isRecord(schema) && isRecord(schema.properties) ? schema.properties : {};
  return Object.fromEntries(
    Object.entries(properties)
      .filter((entry): entry is [string, Record<string, unknown>] => isRecord(entry[1]))
      .map(([key, p]) => [
        key,
        {
          format: text(p.format),
          type: p.type as Property["type"],
          enum: Array.isArray(p.enum) ? p.enum : undefined,
          anyOf: Array.isArray(p.anyOf) ? p.anyOf.filter(isRecord) : undefined,
          title: text(p.title),
          description: text(p.description),
          "x-unit": text(p["x-unit"]),
          "x-currency": text(p["x-currency"]),
        },
      ]),
  );
}
const automatic = (key: string) =>
  key
    .split("_")
    .map((w) => w.charAt(0).toUpperCase() + w.slice(1))
    .join(" ");
/** The schema's title, or the name in words if the title was only generated from it. */
export const labelOf = (key: string, p: Property | undefined) =>
  p?.title && p.title !== automatic(key) ? p.title : words(isMoney(p) ? key.replace(/_cents$/, "") : key);
export const isMoney = (p: Property | undefined) => p?.["x-unit"] === "cents" && !!p["x-currency"];
export const asMoney = (cents: number) =>
  (cents / 100).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const exactly = (n: number) => n.toLocaleString("en-US", { maximumFractionDigits: 20 });

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;
/** A time in the viewer's zone, if the schema says it is one or there is no schema; otherwise undefined. */
export function momentOf(p: Property | undefined, value: unknown): string | undefined {
  if (typeof value !== "string" || !TIME.test(value) || Number.isNaN(Date.parse(value))) return;
  const isTime = !p || [p, ...(p.anyOf ?? [])].some((variant) => variant.format === "date-time");
  return isTime ? whole(value) : undefined;
}
/** A value as a person reads it: money in its currency, lists as words, the rest as text. Nothing is rounded. */
export function shown(p: Property | undefined, value: unknown): string {
  if (value == null) return "none";
  if (isMoney(p) && Number.isSafeInteger(value)) return `${asMoney(value as number)} ${p!["x-currency"]}`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return `${exactly(value)}${p?.["x-unit"] ? ` ${p["x-unit"]}` : ""}`;
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.length && value.every((v) => typeof v === "string" && /^[^,"]+$/.test(v)))
    return value.join(", ");
  return escaped(JSON.stringify(value, null, 2));
}
/** The arguments that are empty and unremarkable: not edited, the same as last time, without a fault. */
export function emptyOf(values: Arguments, ...beside: (Record<string, unknown> | undefined)[]): string[] {
  const empty = Object.keys(values).filter((n) => values[n] === null && beside.every((b) => own(b, n) == null));
  return empty.length > 1 ? empty : []; // a single one gets its own row
}
/** The relative change since the last time: `+38%`. */
export function relativeChange(value: number, last: number): string | undefined {
  if (last <= 0 || value < 0) return;
  const percent = Math.round((value / last - 1) * 100);
  return `${percent < 0 ? "−" : "+"}${exactly(Math.abs(percent))}%`;
}
/** The type of a property, or undefined if it allows several. */
export function typeOf(p: Property | undefined): string | undefined {
  const types = p?.anyOf ? p.anyOf.map((a) => a.type) : [p?.type].flat();
  const real = types.filter((t) => t !== "null");
  return real.length === 1 && typeof real[0] === "string" ? real[0] : undefined;
}
const AMOUNT = /^\s*(-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d{1,2})?)\s*$/;
/** A typed amount in cents; NaN if it is ambiguous, like `12,50`. */
export const cents = (typed: string) => Math.round(Number(typed.match(AMOUNT)?.[1]?.replaceAll(",", "")) * 100);
/** A typed number; NaN if it isn't one, or has more digits than JavaScript keeps. */
export function numberOf(typed: string): number {
  const n = typed.trim() ? Number(typed) : NaN;
  return Number.isFinite(n) && (!Number.isInteger(n) || Number.isSafeInteger(n)) ? n : NaN;
}
