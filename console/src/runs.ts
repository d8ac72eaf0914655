/** The filter of the list of runs: in the URL, in a saved view, as API parameters, and in words. */
import type { Run, View } from "./api/client";
import type { RunFilter } from "./api/queries/runs";
import { moment, span, words } from "./format";
import type { Search } from "./router";
import { STATUS, type Status, statusOf } from "./status";

export type Values = View["filter"];
/** Each filter's name in the API, and its name in the URL. `state` is called `status` there, as people call it. */
const IN_URL = {
  state: "status",
  status: "run_status",
  waiting_on: "waiting_on",
  workflow: "workflow",
  version: "version",
  agent: "agent",
  tool: "tool",
  tag: "tag",
  reference: "reference",
  initiator: "initiator",
  trigger: "trigger",
  parent: "parent",
  workflow_id: "workflow_id",
  task_queue: "task_queue",
  stuck: "stuck",
  started_after: "started_after",
  started_before: "started_before",
  closed_after: "closed_after",
  closed_before: "closed_before",
  duration_over: "duration_over",
  sort: "sort",
  q: "q",
} as const satisfies Record<string, keyof Search>;
export type Name = keyof typeof IN_URL;
const NAMES = Object.keys(IN_URL) as Name[];
const LISTS: ReadonlySet<Name> = new Set(["state", "status", "waiting_on", "workflow", "tag"]);

const escaped = (value: string) => value.replaceAll("%", "%25").replaceAll(",", "%2C");
const plain = (value: string) => value.replaceAll("%2C", ",").replaceAll("%25", "%");

/** The filters in the URL, each with its values. */
export function valuesOf(url: Search): Values {
  const result: Values = {};
  for (const name of NAMES) {
    const raw = url[IN_URL[name]];
    if (!raw) continue;
    const values = LISTS.has(name) ? raw.split(",").filter(Boolean).map(plain) : [raw];
    const valid = name === "state" ? values.filter((v) => Object.hasOwn(STATUS, v)) : values;
    if (valid.length) result[name] = valid;
  }
  return result;
}
/** The URL parameters of a filter. It has every name, so that absent filters are removed. */
export const urlOf = (values: Values): Search =>
  Object.fromEntries(
    NAMES.map((name) => {
      const raw = values[name] ?? [];
      return [IN_URL[name], (LISTS.has(name) ? raw.map(escaped).join(",") : raw[0]) || undefined];
    }),
  );
/** The filter as API parameters. */
export const filterOf = (values: Values): RunFilter =>
  Object.fromEntries(NAMES.filter((n) => values[n]).map((n) => [n, LISTS.has(n) ? values[n] : values[n]![0]]));

const sorted = (values: Values) =>
  JSON.stringify(NAMES.filter((n) => values[n]?.length).map((n) => [n, [...values[n]!].sort()]));
export const sameFilter = (a: Values, b: Values) => sorted(a) === sorted(b);
/** Toggles a value of a filter. A filter that takes a single value gets it replaced. */
export function toggled(values: Values, name: Name, value: string): Values {
  const old = values[name] ?? [];
  const rest = old.filter((v) => v !== value);
  const next = rest.length < old.length ? rest : LISTS.has(name) ? [...old, value] : [value];
  const { [name]: _, ...others } = values;
  return next.length ? { ...others, [name]: next } : others;
}

const PREFIX: Partial<Record<Name, string>> = { initiator: "by", q: "has", state: "", workflow: "" };
/** A value of a filter in words. `title` returns a workflow's title. */
export function filterText(name: Name, value: string, title: (workflow: string) => string): string {
  if (name === "state") return STATUS[value as Status].word;
  if (name === "workflow") return title(value);
  if (name === "stuck") return value === "true" ? "stuck" : "not stuck";
  if (name === "duration_over") return `longer than ${span(Number(value) * 1000)}`;
  const time = name.endsWith("_after") || name.endsWith("_before");
  return `${PREFIX[name] ?? words(name).toLowerCase()} ${time ? moment(value) : value}`;
}

/** Whether the filter matches the run, judging by its row; undefined if only the API knows. */
export function matches(run: Run, values: Values): boolean | undefined {
  const rows: Partial<Record<Name, string[]>> = {
    state: [statusOf(run)],
    status: [run.status],
    workflow: [run.workflow],
    version: [run.version ?? ""],
    initiator: [run.initiator],
    reference: [run.reference ?? ""],
    trigger: [run.trigger],
  };
  let match: true | undefined = true;
  for (const name of NAMES) {
    const accepted = values[name];
    if (!accepted || name === "sort") continue;
    if (name === "tag") {
      if (!accepted.every((tag) => run.tags.includes(tag))) return false;
      continue;
    }
    const has = rows[name];
    if (!has) match = undefined;
    else if (!has.some((v) => accepted.includes(v))) return false;
  }
  return match;
}

/** The API name of a view, from its title. */
export const viewName = (title: string) =>
  title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 60) || "view";
/** A view in the URL: a shared one has a prefix that no private name can start with. */
export const viewKey = (view: Pick<View, "name" | "shared">) => (view.shared ? `*${view.name}` : view.name);
