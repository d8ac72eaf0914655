import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { WorkflowFigures } from "../../api/client";
import * as q from "../../api/queries";
import { plural } from "../../format";
import { STATUS } from "../../status";
import { Ago } from "../Bits";
import { Section } from "../Page";
import { bounds, shownBins } from "./bins";
import classes from "./Figures.module.css";

const HEIGHT = 44;
const LEAST = 2; // pixels: one run among thousands is still seen
const FEW = 5;

function Durations({ durations }: { durations: WorkflowFigures["durations"] }) {
  const bins = shownBins(durations);
  const most = Math.max(...bins.map((b) => b.count));
  return (
    <Section title="How long it takes" note="completed runs, 30 days">
      {bins.length === 0 ? (
        <p className={classes.none}>None has completed.</p>
      ) : (
        <ul className={classes.bins}>
          {bins.map((b) => (
            <li key={b.from_seconds} title={`${plural(b.count, "run")}: ${bounds(b)}`}>
              <span className="num">{b.count || ""}</span>
              <i aria-hidden style={{ height: b.count ? Math.max(LEAST, (b.count / most) * HEIGHT) : 1 }} />
              <span>{bounds(b)}</span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
function Errors({ errors }: { errors: WorkflowFigures["errors"] }) {
  return (
    <Section title="Why it failed" note="30 days">
      {errors.length === 0 && <p className={classes.none}>None has failed.</p>}
      <ul className={classes.errors}>
        {errors.slice(0, FEW).map((e) => (
          <li key={`${e.status} ${e.error_type}`}>
            <Link to="/runs/$id" params={{ id: e.last_run_id }} title="The newest of them">
              <span className="cut">{e.error_type ?? STATUS[e.status].word}</span>
              <span className="num muted">{e.count} ×</span>
              <span className="num muted">
                <Ago at={e.last_at} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
    </Section>
  );
}
/** How the runs of a workflow ended: how long they took, and why they failed. Nothing where none has ended. */
export function Figures({ workflow }: { workflow: string }) {
  const { data } = useQuery(q.workflows.figures(workflow));
  if (!data || (!data.errors.length && data.durations.every((b) => !b.count))) return null;
  return (
    <div className={classes.two}>
      <Durations durations={data.durations} />
      <Errors errors={data.errors} />
    </div>
  );
}
