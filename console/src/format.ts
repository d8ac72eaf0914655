/** Formatting of times, amounts and ids. Times are in the viewer's zone or in UTC, as chosen in the user menu. */
const pad = (n: number, digits = 2) => String(n).padStart(digits, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const ZONE = "agentgrid-zone";
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
export type Zone = "local" | "utc";
type Time = string | number;

export const zone = (): Zone => (localStorage.getItem(ZONE) === "utc" ? "utc" : "local");
export const setZone = (next: Zone) => localStorage.setItem(ZONE, next);
export const zoneName = () => (zone() === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone);
/** For a column header: `UTC`, `CET`, `GMT+1`. */
export const zoneShort = () =>
  zone() === "utc"
    ? "UTC"
    : (new Intl.DateTimeFormat("en-US", { timeZoneName: "short" })
        .formatToParts()
        .find((p) => p.type === "timeZoneName")?.value ?? "When");

/** The parts of a time in the chosen zone. */
function parts(t: Time) {
  const d = new Date(t);
  if (zone() === "local")
    return {
      year: d.getFullYear(),
      month: d.getMonth(),
      date: d.getDate(),
      hour: d.getHours(),
      minute: d.getMinutes(),
      second: d.getSeconds(),
      ms: d.getMilliseconds(),
      day: Math.floor((d.getTime() - d.getTimezoneOffset() * MINUTE) / DAY),
    };
  return {
    year: d.getUTCFullYear(),
    month: d.getUTCMonth(),
    date: d.getUTCDate(),
    hour: d.getUTCHours(),
    minute: d.getUTCMinutes(),
    second: d.getUTCSeconds(),
    ms: d.getUTCMilliseconds(),
    day: Math.floor(d.getTime() / DAY),
  };
}
export const clock = (t: Time, seconds = false) => {
  const p = parts(t);
  return `${pad(p.hour)}:${pad(p.minute)}${seconds ? `:${pad(p.second)}` : ""}`;
};
export const clockMs = (t: Time) => `${clock(t, true)}.${pad(parts(t).ms, 3)}`;
export const day = (t: Time) => `${parts(t).date} ${MONTHS[parts(t).month]}`;
/** The exact time for tooltips, always in UTC. */
export const exact = (t: Time) => `${new Date(t).toISOString().replace("T", " ").replace("Z", "")} UTC`;
/** A time with its year, to the second: `29 Nov 2026, 10:00:00`. */
export const whole = (t: Time) => `${day(t)} ${parts(t).year}, ${clock(t, true)}`;
/** Today: only the clock. Other days: the day as well. */
export function moment(t: Time, now = Date.now(), seconds = false) {
  const days = parts(now).day - parts(t).day;
  const at = clock(t, seconds);
  return days === 0 ? at : days === 1 ? `yesterday ${at}` : days === -1 ? `tomorrow ${at}` : `${day(t)} ${at}`;
}
/** A moment within a sentence: `at 08:52`, `yesterday at 08:52`, `on 26 Nov at 08:52`. */
export function atMoment(t: Time, now = Date.now(), seconds = false) {
  const text = moment(t, now, seconds);
  const [, before, at] = text.match(/^(.*) (\S+)$/) ?? [text, "", text];
  return `${before && (/^\d/.test(before) ? `on ${before} ` : `${before} `)}at ${at}`;
}
/** A span in at most two units: `412 ms`, `3.1 s`, `6 m 28 s`, `3 h 54 m`, `6 d`. */
export function span(ms: number) {
  const t = Math.abs(ms);
  if (t < SECOND) return `${Math.round(t)} ms`;
  if (t < MINUTE) return `${t < 10 * SECOND ? (t / SECOND).toFixed(1) : Math.floor(t / SECOND)} s`;
  if (t < HOUR) return `${Math.floor(t / MINUTE)} m ${pad(Math.floor((t % MINUTE) / SECOND))} s`;
  if (t < DAY) return `${Math.floor(t / HOUR)} h ${pad(Math.floor((t % HOUR) / MINUTE))} m`;
  const hours = Math.floor((t % DAY) / HOUR);
  return hours ? `${Math.floor(t / DAY)} d ${hours} h` : `${Math.floor(t / DAY)} d`;
}
/** One unit, for lists: `18 s`, `6 m`, `3 h`, `2 d`. */
export function brief(ms: number) {
  const t = Math.abs(ms);
  if (t < MINUTE) return `${Math.floor(t / SECOND)} s`;
  if (t < HOUR) return `${Math.floor(t / MINUTE)} m`;
  return t < DAY ? `${Math.floor(t / HOUR)} h` : `${Math.floor(t / DAY)} d`;
}
export const ago = (t: Time, now = Date.now()) => `${brief(Math.max(0, now - new Date(t).getTime()))} ago`;
/** The time left until then, with seconds only in the last minute. */
export function left(t: Time, now = Date.now()) {
  const ms = new Date(t).getTime() - now;
  return ms < MINUTE
    ? `${Math.max(0, Math.floor(ms / SECOND))} s`
    : span(Math.floor(ms / MINUTE) * MINUTE).replace(/ 00 s$/, "");
}
export const count = (n: number) => n.toLocaleString("en-US");
export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const tokens = (n: number) =>
  n < 1000 ? String(n) : n < 1e6 ? `${(n / 1000).toFixed(1)}k` : `${(n / 1e6).toFixed(1)}M`;
export const usd = (n: number, digits = n < 0.1 && n > 0 ? 3 : 2) => (n === 0 ? "$0" : `$${n.toFixed(digits)}`);
export const bytes = (n: number) =>
  n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1000).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
export const shortId = (id: string) => id.slice(-8);
export const digestGroups = (digest: string) => digest.slice(0, 16).replace(/(.{4})(?=.)/g, "$1 ");
/** `amount_cents` as a label: `Amount cents`. */
export const words = (name: string) => name.replace(/[_-]+/g, " ").replace(/^./, (c) => c.toUpperCase());
/** The title of a run's or an approval's workflow; if it isn't registered, its name in words. */
export const flowTitle = (of: { workflow: string; workflow_title: string | null }) =>
  of.workflow_title ?? words(of.workflow);
/** Distinguishes a run from others of its workflow: its subject, and its reference if that adds something. */
export const aboutOf = ({ subject, reference }: { subject: string | null; reference: string | null }) =>
  subject && reference && !subject.includes(reference) ? `${subject} · ${reference}` : (subject ?? reference ?? "");
export const agentTitle = (of: { agent: string | null; agent_title: string | null }) =>
  of.agent_title ?? words(of.agent ?? "");
/** An API text as the start of a sentence, without its full stop. */
export const sentence = (text: string) => text.replace(/^./, (c) => c.toUpperCase()).replace(/\.$/, "");
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/** The heading of a day in a log: `Today, Sunday 29 November`; unique to its day. */
export function dayTitle(t: Time, now = Date.now()) {
  const p = parts(t);
  const weekday = DAYS[(p.day + 4) % 7]!; // the epoch began on a Thursday
  const name = `${weekday} ${p.date} ${new Date(2000, p.month, 1).toLocaleString("en-US", { month: "long" })}`;
  const ago = parts(now).day - p.day;
  if (ago === 0) return `Today, ${name}`;
  return ago === 1 ? `Yesterday, ${name}` : name;
}
