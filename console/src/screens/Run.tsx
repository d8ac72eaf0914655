import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { TimelineStep } from "../api/client";
import * as q from "../api/queries";
import { ButtonLink } from "../components/Button";
import { Inspector } from "../components/Inspector";
import { Logs } from "../components/Logs";
import { Bar } from "../components/Page";
import { RunHead } from "../components/RunHead";
import { RunVerbs } from "../components/RunVerbs";
import { Failed, Skeleton } from "../components/States";
import { keyOf, toNode, type Node } from "../components/timeline/model";
import { Timeline } from "../components/timeline/Timeline";
import { flowTitle, shortId } from "../format";
import { useNow } from "../live/now";
import { useWatch } from "../live/stream";
import type { Search } from "../router";
import classes from "./Run.module.css";

const VIEWS = { all: "All steps", failed: "Failed tries", open: "Open" } as const;
type View = keyof typeof VIEWS;
const ROW = 32;

/** The steps that fit, with what they are inside of. */
function shown(nodes: Node[], view: View): Node[] {
  if (view === "all") return nodes;
  const fits = new Set(
    nodes
      .filter((n) => (view === "failed" ? n.status === "failed" || n.attempts > 1 : n.to === undefined))
      .map((n) => n.key),
  );
  const byKey = new Map(nodes.map((n) => [n.key, n]));
  for (const key of Array.from(fits))
    for (let n = byKey.get(key); n?.parent; n = byKey.get(n.parent)) fits.add(n.parent);
  return nodes.filter((n) => fits.has(n.key));
}
/** What the reader looks for first: what waits for a person, else what failed last. */
const first = (steps: TimelineStep[]) =>
  steps.find((s) => s.approval_id && s.status === "waiting") ?? steps.findLast((s) => s.status === "failed");

function Views({
  view,
  onView,
  fold,
  onFold,
}: {
  view: View;
  onView(v: View): void;
  fold: boolean;
  onFold(f: boolean): void;
}) {
  return (
    <div className={classes.tools}>
      <div className={classes.seg} role="group" aria-label="Which steps">
        {(Object.keys(VIEWS) as View[]).map((v) => (
          <button type="button" key={v} aria-pressed={view === v} onClick={() => onView(v)}>
            {VIEWS[v]}
          </button>
        ))}
      </div>
      <label className={classes.check}>
        <input type="checkbox" checked={fold} onChange={(e) => onFold(e.target.checked)} />
        Fold idle time
      </label>
    </div>
  );
}

/** A run: its state as a sentence, its steps over time, its logs, and the step that is open. */
export default function Run() {
  const { id } = useParams({ strict: false }) as { id: string };
  const { step: wanted } = useSearch({ strict: false }) as Search;
  const go = useNavigate();
  const now = useNow();
  const [view, setView] = useState<View>("all");
  const [fold, setFold] = useState(true);
  const [own, setOwn] = useState(true);
  const [rows, setRows] = useState(8);
  useWatch(id);
  const { data: run, error, refetch } = useQuery(q.runs.one(id));
  const { data: timeline } = useQuery(q.runs.timeline(id));
  const steps = timeline?.steps;
  const nodes = useMemo(() => (steps ?? []).map(toNode), [steps]);
  const inView = useMemo(() => shown(nodes, view), [nodes, view]);
  if (!run)
    return (
      <>
        <Bar crumbs={[{ word: "Runs", to: "/runs" }, { word: shortId(id) }]} />
        {error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={10} />}
      </>
    );
  const chosen = wanted === "none" ? undefined : (steps?.find((s) => keyOf(s) === wanted) ?? first(steps ?? []));
  const pick = (key: string) => {
    setOwn(true);
    void go({ to: ".", search: (old: Search) => ({ ...old, step: key }), replace: true });
  };
  const picked = !!wanted && wanted !== "none" && !!chosen;
  const pending = run.approvals.find((a) => a.status === "pending");
  return (
    <>
      <Bar
        crumbs={[
          { word: "Runs", to: "/runs" },
          { word: flowTitle(run), to: "/runs", search: { workflow: run.workflow } },
          { word: run.reference ?? shortId(id) },
        ]}
      >
        <RunVerbs run={run} />
      </Bar>
      <RunHead run={run} working={timeline?.working_seconds} />
      <div className={classes.page} data-side={!!chosen || undefined} data-picked={picked || undefined}>
        <div className={classes.left}>
          <Views view={view} onView={setView} fold={fold} onFold={setFold} />
          <div className={classes.time} style={{ flexBasis: rows * ROW + 42 }}>
            {steps ? (
              <Timeline
                nodes={inView}
                groups={view === "all" ? timeline?.groups : undefined}
                usual={view === "all" ? timeline?.usual_next : undefined}
                start={Date.parse(run.created_at)}
                end={run.closed_at ? Date.parse(run.closed_at) : now}
                live={!run.closed_at}
                fold={fold}
                selected={chosen && keyOf(chosen)}
                onSelect={pick}
                onRows={setRows}
              />
            ) : (
              <Skeleton rows={5} />
            )}
          </div>
          <div className={classes.log}>
            <Logs
              run_id={id}
              visible={run.payloads_visible}
              step={
                picked && own && chosen.activity_id
                  ? { activity_id: chosen.activity_id, title: chosen.title }
                  : undefined
              }
              onAll={() => setOwn(false)}
            />
          </div>
        </div>
        {chosen && <Inspector key={keyOf(chosen)} run={run} step={chosen} onClose={() => pick("none")} />}
      </div>
      {pending && (
        <nav className={classes.phone} aria-label="What it asks">
          <ButtonLink to="/approvals/$id" params={{ id: pending.approval_id }} look="ink">
            Read what it asks
          </ButtonLink>
        </nav>
      )}
    </>
  );
}
