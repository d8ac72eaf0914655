import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useRef, useState } from "react";
import type { RunDetail, TimelineStep } from "../api/client";
import * as q from "../api/queries";
import { ButtonLink } from "../components/Button";
import { Bar } from "../components/Page";
import { Inspector } from "../components/run/Inspector";
import { Logs } from "../components/run/Logs";
import { RunHead } from "../components/run/RunHead";
import { RunVerbs } from "../components/run/RunVerbs";
import { useSteps, VIEWS, type View } from "../components/run/useSteps";
import { Writing } from "../components/run/Writing";
import { Failed, Skeleton } from "../components/States";
import { keyOf } from "../components/timeline/model";
import { Timeline } from "../components/timeline/Timeline";
import { aboutOf, count, flowTitle, shortId } from "../format";
import { useNow } from "../live/now";
import { useWatch } from "../live/stream";
import type { Search } from "../router";
import classes from "./Run.module.css";

const Graph = lazy(() => import("../components/run/Graph"));
const History = lazy(() => import("../components/run/History"));

const FORMS = { timeline: "Timeline", graph: "Graph", history: "History" } as const;
type Form = keyof typeof FORMS;
const formOf = (view: string | undefined): Form => (view === "graph" || view === "history" ? view : "timeline");
const ROW = 32; // in pixels, like the next two
const AXIS = 42;
const LEAST = 160; // minimum height of the timeline when the logs need the space

/** The step to open first: one that waits for a person, otherwise the last one that failed. */
const first = (steps: TimelineStep[]) =>
  steps.find((s) => s.approval_id && s.status === "waiting") ?? steps.findLast((s) => s.status === "failed");

interface Tools {
  form: Form;
  onForm(f: Form): void;
  view: View;
  onView(v: View): void;
  fold: boolean;
  onFold(f: boolean): void;
}
function ToolBar({ form, onForm, view, onView, fold, onFold }: Tools) {
  return (
    <div className={classes.tools}>
      <div className={classes.seg} role="group" aria-label="View">
        {(Object.keys(FORMS) as Form[]).map((f) => (
          <button type="button" key={f} aria-pressed={form === f} onClick={() => onForm(f)}>
            {FORMS[f]}
          </button>
        ))}
      </div>
      {form !== "history" && (
        <div className={classes.seg} role="group" aria-label="Steps shown">
          {(Object.keys(VIEWS) as View[]).map((v) => (
            <button type="button" key={v} aria-pressed={view === v} onClick={() => onView(v)}>
              {VIEWS[v]}
            </button>
          ))}
        </div>
      )}
      {form === "timeline" && (
        <label className={classes.check}>
          <input type="checkbox" checked={fold} onChange={(e) => onFold(e.target.checked)} />
          Fold idle time
        </label>
      )}
    </div>
  );
}
function Missing({ steps, complete, all }: { steps: number; complete: boolean; all: number }) {
  if (complete) return null;
  return (
    <p className={classes.missing} role="status">
      Showing the newest {count(steps)} of {count(all)} steps. The rest are in the history.
    </p>
  );
}

/** A loaded run: its steps as a timeline, a graph or the history; its logs; and the selected step. */
function Body({ run }: { run: RunDetail }) {
  const { step: stepParam, view: viewParam, execution } = useSearch({ strict: false }) as Search;
  const go = useNavigate();
  const now = useNow();
  const [fold, setFold] = useState(true);
  const [own, setOwn] = useState(true);
  const [rows, setRows] = useState(8);
  const s = useSteps(run.run_id, execution, !run.closed_at);
  const form = formOf(viewParam);
  const set = (change: Search) => void go({ to: ".", search: (old: Search) => ({ ...old, ...change }), replace: true });
  const pick = (key: string) => {
    setOwn(true);
    set({ step: key });
  };
  // Keep the selection even if the run requests another approval meanwhile: a verdict meant for one call must not land on the next.
  const kept = useRef<string>(undefined);
  const at = (key: string | undefined) => s.steps.find((x) => keyOf(x) === key);
  const chosen = stepParam === "none" ? undefined : (at(stepParam ?? kept.current) ?? first(s.steps));
  kept.current = chosen && keyOf(chosen);
  const next = s.steps.find((x) => x.status === "waiting" && x.approval_id && x !== chosen);
  const picked = !!stepParam && stepParam !== "none" && !!chosen;
  const shown = run.executions.find((e) => e.execution_id === execution);
  const closed = shown ? shown.closed_at : run.closed_at;
  const end = closed ? Date.parse(closed) : now;
  const height = rows * ROW + AXIS;
  return (
    <>
      <RunHead
        run={run}
        working={s.timeline?.working_seconds}
        only={execution}
        onOnly={(e) => set({ execution: e, step: undefined })}
      />
      <div className={classes.page} data-side={!!chosen || undefined}>
        <div className={classes.left}>
          <ToolBar
            form={form}
            onForm={(f) => set({ view: f === "timeline" ? undefined : f })}
            view={s.view}
            onView={s.setView}
            fold={fold}
            onFold={setFold}
          />
          {s.timeline && (
            <Missing steps={s.timeline.steps.length} complete={s.timeline.complete} all={s.timeline.step_count} />
          )}
          <Suspense fallback={<Skeleton rows={8} inset />}>
            {!s.timeline ? (
              s.error ? (
                <Failed error={s.error} />
              ) : (
                <Skeleton rows={5} inset />
              )
            ) : form === "history" ? (
              <History run={run} execution={execution} />
            ) : form === "graph" ? (
              <Graph
                nodes={s.nodes}
                folded={s.folded}
                usual={s.usual}
                end={end}
                selected={chosen && keyOf(chosen)}
                onSelect={pick}
              />
            ) : (
              <>
                <div className={classes.time} style={{ flexBasis: height, minHeight: Math.min(LEAST, height) }}>
                  <Timeline
                    nodes={s.nodes}
                    folded={s.folded}
                    usual={s.usual}
                    start={Date.parse(shown?.started_at ?? run.created_at)}
                    end={end}
                    live={!closed}
                    fold={fold}
                    selected={chosen && keyOf(chosen)}
                    onSelect={pick}
                    onRows={setRows}
                    onUnfold={s.unfold}
                  />
                </div>
                <Writing run_id={run.run_id} steps={s.steps} />
                <div className={classes.log}>
                  <Logs run={run} step={picked && own ? chosen : undefined} onAll={() => setOwn(false)} />
                </div>
              </>
            )}
          </Suspense>
        </div>
        {chosen && (
          <Inspector
            key={keyOf(chosen)}
            run={run}
            step={chosen}
            picked={picked}
            next={next}
            onNext={() => next && pick(keyOf(next))}
            onClose={() => set({ step: "none" })}
          />
        )}
      </div>
    </>
  );
}

/** A run: its state as a sentence, and the available actions. */
export default function Run() {
  const { id } = useParams({ strict: false }) as { id: string };
  useWatch(id);
  const { data: run, error, refetch } = useQuery(q.runs.one(id));
  if (!run)
    return (
      <>
        <Bar crumbs={[{ word: "Runs", to: "/runs" }, { word: shortId(id) }]} />
        {error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={10} inset />}
      </>
    );
  const mine = new Set(run.next.you.approval_ids);
  const open = run.approvals.filter((a) => a.status === "pending");
  const pending = open.find((a) => mine.has(a.approval_id)) ?? open[0];
  return (
    <>
      <Bar
        crumbs={[
          { word: "Runs", to: "/runs" },
          { word: flowTitle(run), to: "/runs", search: { workflow: run.workflow } },
          { word: aboutOf(run) || shortId(id) },
        ]}
      >
        <RunVerbs run={run} />
      </Bar>
      <Body key={id} run={run} />
      {pending && (
        <nav className={classes.phone} aria-label="Pending approval">
          <ButtonLink to="/approvals/$id" params={{ id: pending.approval_id }} look="ink">
            {mine.has(pending.approval_id) ? "Review and decide" : "Review"}
          </ButtonLink>
        </nav>
      )}
    </>
  );
}
