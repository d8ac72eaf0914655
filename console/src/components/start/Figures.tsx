import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { WorkflowFigures } from "../../api/client";
import * as q from "../../api/queries";
import { plural, span, words } from "../../format";
import { KIND, STATUS } from "../../status";
import { useAgentTitle, useToolTitle } from "../catalog";
import { Ago } from "../Bits";
import { Section } from "../Page";
import { Text } from "../Text";
import { bounds, shownBins } from "./bins";
import classes from "./Figures.module.css";

const HEIGHT = 44;
const LEAST = 2; // pixels, so that one run among thousands is still visible
const FEW = 5;

type Figured = Pick<WorkflowFigures, "completed" | "p50_seconds" | "p95_seconds">;
function spread({ completed, p50_seconds, p95_seconds }: Figured): string {
  if (p50_seconds === null || p95_seconds === null) return "30 days";
  const runs = `${plural(completed, "completed run")} in 30 days`;
  return `${runs}, median ${span(p50_seconds * 1000)}, 95% within ${span(p95_seconds * 1000)}`;
}
function Durations({ figures }: { figures: WorkflowFigures }) {
  const bins = shownBins(figures.durations);
  const most = Math.max(...bins.map((b) => b.count));
  return (
    <Section title="How long it takes">
      {bins.length === 0 ? (
        <p className={classes.none}>No completed runs in 30 days.</p>
      ) : (
        <>
          <p className={classes.spread}>{spread(figures)}</p>
          <ul className={classes.bins}>
            {bins.map((b) => (
              <li key={b.from_seconds} title={`${plural(b.count, "run")}: ${bounds(b)}`}>
                <span className="num">{b.count || ""}</span>
                <i aria-hidden style={{ height: b.count ? Math.max(LEAST, (b.count / most) * HEIGHT) : 1 }} />
                <span>{bounds(b)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Section>
  );
}
/** What completed runs of this version did, in order: what a new run will probably do. */
function Usual({ usual }: { usual: WorkflowFigures["usual"] }) {
  const agent = useAgentTitle();
  const tool = useToolTitle();
  const titles: Partial<Record<keyof typeof KIND, (name: string) => string>> = { agent, tool };
  if (!usual.steps.length) return null;
  return (
    <Section title="What it usually does" note={`from ${plural(usual.runs, "completed run")} of this version`}>
      <ol className={classes.usual}>
        {usual.steps.map((s) => {
          const { Icon, word } = KIND[s.kind];
          return (
            <li key={`${s.kind} ${s.name}`} title={word}>
              <Icon size={14} strokeWidth={1.8} aria-hidden />
              {s.kind === "approval" ? "Approval" : (s.title ?? (titles[s.kind] ?? words)(s.name))}
              {s.count < usual.runs && (
                <span className="muted num">
                  {s.count} of {usual.runs}
                </span>
              )}
            </li>
          );
        })}
      </ol>
    </Section>
  );
}
function Errors({ errors }: { errors: WorkflowFigures["errors"] }) {
  const shown = errors.slice(0, FEW);
  const newest = shown.map((e) => e.last_run_id);
  const { data } = useQuery({ ...q.runs.list({ ids: newest }, FEW), enabled: newest.length > 0 });
  const reason = (run_id: string) => data?.items.find((r) => r.run_id === run_id)?.status_reason;
  return (
    <Section title="Why it failed" note="30 days">
      {errors.length === 0 && <p className={classes.none}>No failures.</p>}
      <ul className={classes.errors}>
        {shown.map((e) => (
          <li key={`${e.status} ${e.error_type}`}>
            <Link to="/runs/$id" params={{ id: e.last_run_id }} title="Newest run with this error">
              <span>{e.error_type ?? STATUS[e.status].word}</span>
              <span className="num muted">{e.count} ×</span>
              <span className="num muted">
                <Ago at={e.last_at} />
              </span>
              <span className="cut">
                <Text>{reason(e.last_run_id) ?? ""}</Text>
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </Section>
  );
}
/** How the runs of a workflow ended: what they did, how long they took, and why they failed. Empty until one has ended. */
export function Figures({ workflow }: { workflow: string }) {
  const { data } = useQuery(q.workflows.figures(workflow));
  if (!data || (!data.errors.length && !data.completed && !data.usual.runs)) return null;
  return (
    <>
      <Usual usual={data.usual} />
      <div className={classes.two}>
        <Durations figures={data} />
        <Errors errors={data.errors} />
      </div>
    </>
  );
}
