import { useQuery } from "@tanstack/react-query";
import type { Job, TimelineStep } from "../../api/client";
import * as q from "../../api/queries";
import { clockMs, span } from "../../format";
import classes from "./Inspector.module.css";
import { Skeleton } from "../States";
import { Text } from "../Text";

const WORDS: Record<Job["status"], string> = {
  completed: "done",
  failed: "failed",
  running: "running",
  cancelled: "cancelled",
  lost: "lost: its worker stopped",
  gated: "asked for approval",
};

/** Every attempt of a step, with the time until the next one. */
export function Tries({ run, step }: { run: string; step: TimelineStep }) {
  const { data } = useQuery({
    ...q.runs.jobs(run, step.execution_id, step.activity_id ?? ""),
    enabled: !!step.activity_id,
  });
  if (!step.activity_id) return <p className="muted">No attempts: this step only waits.</p>;
  if (!data) return <Skeleton rows={3} />;
  if (!data.items.length) return <p className="muted">No worker has reported an attempt.</p>;
  const jobs = [...data.items].sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
  return (
    <ol className={classes.tries}>
      {jobs.map((j, i) => {
        const next = jobs[i + 1];
        const gated = j.status === "gated";
        return (
          <li key={j.job_id} data-status={j.status}>
            <header>
              <b>Attempt {j.attempt}</b>
              <span>{WORDS[j.status]}</span>
              <i className="num">{j.finished_at && span(Date.parse(j.finished_at) - Date.parse(j.started_at))}</i>
            </header>
            {j.error && !gated && (
              <p className={classes.error}>
                <code>
                  <Text>{j.error.type ?? ""}</Text>
                </code>{" "}
                <Text>{j.error.message ?? ""}</Text>
              </p>
            )}
            <p className="muted">
              {clockMs(j.started_at)} on {j.worker}
            </p>
            {next && j.finished_at && !gated && (
              <p className={classes.backoff}>
                {span(Math.max(0, Date.parse(next.started_at) - Date.parse(j.finished_at)))} until the next attempt
              </p>
            )}
          </li>
        );
      })}
    </ol>
  );
}
