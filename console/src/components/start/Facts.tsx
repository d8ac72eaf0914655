import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useCallback, useState } from "react";
import type { Run, WorkflowDetail } from "../../api/client";
import * as q from "../../api/queries";
import { aboutOf, shortId, span } from "../../format";
import { useEvents, type LiveEvent } from "../../live/stream";
import { useQueryClient } from "@tanstack/react-query";
import { STATUS, StatusIcon, statusOf } from "../../status";
import { Ago, Ident } from "../Bits";
import { Doing } from "../Doing";
import { Button } from "../Button";
import { Section } from "../Page";
import { Failed, Skeleton } from "../States";
import { Text } from "../Text";
import { Changed } from "./Changed";
import classes from "./Facts.module.css";

const NEWEST = 8;
const FEW_VERSIONS = 3;
type HandlersOut = NonNullable<WorkflowDetail["handlers"]>;
type Handler = HandlersOut["queries"][number];

const Row = ({ r }: { r: Run }) => {
  const s = statusOf(r);
  return (
    <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.run}>
      <StatusIcon status={s} />
      <span className="cut">
        <Text>{aboutOf(r) || shortId(r.run_id)}</Text>
      </span>
      <span className="cut muted">
        <Doing r={r} fallback={STATUS[s].word} />
      </span>
      <span className="num muted">{r.closed_at && span(Date.parse(r.closed_at) - Date.parse(r.created_at))}</span>
      <span className="num muted">
        <Ago at={r.created_at} />
      </span>
    </Link>
  );
};
/** The newest runs of a workflow, updated live. */
export function NewestRuns({ workflow: w, note }: { workflow: WorkflowDetail; note?: string }) {
  const workflow = w.name;
  const may = w.actions.some((a) => a.verb === "start" && a.allowed);
  const filter = q.runs.list({ workflow: [workflow] }, NEWEST);
  const { data, error, refetch } = useQuery(filter);
  const queries = useQueryClient();
  useEvents(
    useCallback(
      (events: LiveEvent[]) => {
        if (events.some((e) => e.kind === "run" || e.kind === "end"))
          void queries.invalidateQueries({ queryKey: ["workflows", workflow], exact: true });
      },
      [queries, workflow],
    ),
  );
  return (
    <Section title="Runs" note={note ?? "newest first"} more="All its runs" to="/runs" search={{ workflow }}>
      {error && !data ? (
        <Failed error={error} reset={() => void refetch()} />
      ) : !data ? (
        <Skeleton rows={4} />
      ) : data.items.length ? (
        <ul className={classes.rows}>
          {data.items.map((r) => (
            <li key={r.run_id}>
              <Row r={r} />
            </li>
          ))}
        </ul>
      ) : (
        <p className={classes.none}>No runs yet.{may && " Start one above."}</p>
      )}
    </Section>
  );
}

const KINDS = { signals: "Signal", queries: "Query", updates: "Update" } as const;
const HINTS = {
  signals: "sends data to a run",
  queries: "reads the state of a run",
  updates: "changes a run and returns a result",
} as const;
interface Part {
  title?: string;
  type?: string | string[];
  $ref?: string;
  anyOf?: Part[];
}
const typeOf = (p: Part): string =>
  p.title ?? p.anyOf?.map(typeOf).join(" or ") ?? [p.type ?? p.$ref?.split("/").at(-1) ?? "any"].flat().join(" or ");
/** Its signature: the titles or types of its parameters. */
const parameters = (h: Handler) => {
  const parts = ((h.input_schema as { prefixItems?: Part[] }).prefixItems ?? []).map(typeOf);
  return `(${parts.join(", ")})`;
};
/** The signals, queries and updates that a run of it handles. */
export function Handlers({ handlers: h }: { handlers: HandlersOut }) {
  const kinds = (Object.keys(KINDS) as (keyof typeof KINDS)[]).filter((k) => h[k].length);
  if (!kinds.length && !h.dynamic.length) return null;
  return (
    <Section title="Signals, queries and updates" note="agentgrid run signal, query, update">
      <ul className={classes.handlers}>
        {kinds.flatMap((kind) =>
          h[kind].map((one) => (
            <li key={`${kind}${one.name}`}>
              <span title={HINTS[kind]}>{KINDS[kind]}</span>
              <code>
                <b>{one.name}</b>
                {parameters(one)}
                {one.output_schema && ` → ${typeOf(one.output_schema as Part)}`}
              </code>
              <p>{one.description}</p>
            </li>
          )),
        )}
        {h.dynamic.length > 0 && (
          <li>
            <span>Any</span>
            <p>Accepts {h.dynamic.map((d) => (d === "query" ? "queries" : `${d}s`)).join(" and ")} with any name.</p>
          </li>
        )}
      </ul>
    </Section>
  );
}

/** The versions that workers have registered; they differ in schemas or code. */
export function Versions({ workflow: w }: { workflow: WorkflowDetail }) {
  const [all, setAll] = useState(false);
  const [open, setOpen] = useState<string>();
  const shown = all ? w.versions : w.versions.slice(0, FEW_VERSIONS);
  return (
    <Section title="Versions" note="a digest of its schemas and code">
      <ul className={classes.versions}>
        {shown.map((v) => (
          <li key={v.version}>
            <Ident id={v.version} show={v.version.slice(0, 8)} />
            <span className="cut">{v.version === w.version ? "in use" : ""}</span>
            <code className="cut muted" title={v.build}>
              {v.build}
            </code>
            <span className="num muted">
              <Ago at={v.first_seen_at} />
            </span>
            <Button
              look="quiet"
              small
              aria-expanded={open === v.version}
              aria-label={`Changes in version ${v.version.slice(0, 8)}`}
              onClick={() => setOpen(open === v.version ? undefined : v.version)}
            >
              Changes
            </Button>
            {open === v.version && <Changed workflow={w.name} version={v.version} />}
          </li>
        ))}
      </ul>
      {w.versions.length > shown.length && (
        <Button look="quiet" small onClick={() => setAll(true)}>
          All {w.versions.length}
        </Button>
      )}
    </Section>
  );
}
