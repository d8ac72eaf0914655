/** What a tool's schema says of its arguments, for people: labels, units, descriptions. */
import { words } from "../../format";

export interface Property {
  title?: string;
  type?: string | string[];
  description?: string;
  enum?: unknown[];
  anyOf?: Property[];
  "x-unit"?: string;
  "x-currency"?: string;
}
export type Arguments = Record<string, unknown>;

export const propertiesOf = (schema: unknown): Record<string, Property> =>
  (schema as { properties?: Record<string, Property> } | undefined)?.properties ?? {};
const automatic = (key: string) =>
  key
    .split("_")
    .map((w) => w.charAt(0).toUpperCase() + w.slice(1))
    .join(" ");
/** The schema's title, or the name in words where the title was only derived from it. */
export const labelOf = (key: string, p: Property | undefined) =>
  p?.title && p.title !== automatic(key) ? p.title : words(isMoney(p) ? key.replace(/_cents$/, "") : key);
export const isMoney = (p: Property | undefined) => p?.["x-unit"] === "cents" && !!p["x-currency"];
const money = (cents: number) =>
  (cents / 100).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** A value as a person reads it: money in its currency, lists as words, the rest as text. */
export function shown(p: Property | undefined, value: unknown): string {
  if (value == null) return "none";
  if (isMoney(p) && typeof value === "number") return `${money(value)} ${p!["x-currency"]}`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return `${value.toLocaleString("en-US")}${p?.["x-unit"] ? ` ${p["x-unit"]}` : ""}`;
  if (Array.isArray(value) && value.every((v) => typeof v === "string" || typeof v === "number"))
    return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
/** The one type of a property, or undefined where it may be several. */
export function typeOf(p: Property | undefined): string | undefined {
  const types = p?.anyOf ? p.anyOf.map((a) => a.type) : [p?.type].flat();
  const real = types.filter((t) => t !== "null");
  return real.length === 1 ? (real[0] as string) : undefined;
}
export const cents = (text: string) => Math.round(Number(text.replace(/[^\d.-]/g, "")) * 100);
export const asMoney = money;
