/** Conversion to and from the browser's time inputs, in the zone that the viewer chose. */
import { zone, type Zone } from "./format";

const pad = (n: number, digits = 2) => String(n).padStart(digits, "0");

/** `2026-11-29T06:08:15Z` as `2026-11-29T06:08:15` in the zone; empty if it isn't a time. */
export function toInput(iso: string | undefined, at: Zone = zone()): string {
  const d = new Date(iso ?? "");
  if (Number.isNaN(d.getTime())) return "";
  if (at === "utc") return d.toISOString().slice(0, 19);
  const date = `${pad(d.getFullYear(), 4)}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  return `${date}T${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}
/** The time of such an input, always with the offset `Z`. */
export function fromInput(text: string, at: Zone = zone()): string | undefined {
  if (!text) return undefined;
  const d = new Date(at === "utc" ? `${text}Z` : text);
  return Number.isNaN(d.getTime()) ? undefined : d.toISOString().replace(".000Z", "Z");
}

/** The day of an instant, `2026-11-29`. */
export const dayOf = (iso: string, at: Zone = zone()) => toInput(iso, at).slice(0, 10);
/** The start of a day. */
export const dayStart = (day: string, at: Zone = zone()) => fromInput(day && `${day}T00:00`, at);
/** Adds calendar days, which may have 23 or 25 hours. */
export function addDays(day: string, days: number): string {
  const d = new Date(`${day}T00:00:00Z`);
  d.setUTCDate(d.getUTCDate() + days);
  return d.toISOString().slice(0, 10);
}
