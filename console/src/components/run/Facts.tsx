import { Link } from "@tanstack/react-router";
import type { Step, TimelineStep } from "../../api/client";
import { count, moment, shortId, span, usd } from "../../format";
import { useNow } from "../../live/now";
import { RiskMark, StatusWord } from "../../status";
import { Text } from "../Text";
import { statusOfStep, titleOf } from "../timeline/model";
import classes from "./Inspector.module.css";

/** The main facts of a step: its state, times, worker and cost. */
export function Facts({ step, whole }: { step: TimelineStep; whole: Step | undefined }) {
  const now = useNow();
  const used = step.usage;
  return (
    <dl className={classes.facts}>
      <dt>State</dt>
      <dd>
        <StatusWord status={statusOfStep(step)} />
      </dd>
      <dt>Started</dt>
      <dd className="num">
        {moment(step.scheduled_at, now, true)}
        {step.closed_at && (
          <span className="muted">, took {span(Date.parse(step.closed_at) - Date.parse(step.scheduled_at))}</span>
        )}
      </dd>
      {step.due_at && !step.closed_at && (
        <>
          <dt>Due</dt>
          <dd className="num">{moment(step.due_at, now, true)}</dd>
        </>
      )}
      {step.live_next_retry_at && !step.closed_at && (
        <>
          <dt>Next retry</dt>
          <dd className="num">{moment(step.live_next_retry_at, now, true)}</dd>
        </>
      )}
      {whole?.child_execution_id && (
        <>
          <dt>Child run</dt>
          <dd>
            <Link to="/runs/$id" params={{ id: whole.child_execution_id }} className="link">
              {shortId(whole.child_execution_id)}
            </Link>
          </dd>
        </>
      )}
      {step.kind === "agent" && (
        <>
          <dt>Agent</dt>
          <dd>
            <Link to="/agents/$name" params={{ name: step.name }} className="link">
              <Text>{titleOf(step)}</Text>
            </Link>
            {whole?.version && <span className="muted">, version {whole.version.slice(0, 8)}</span>}
          </dd>
        </>
      )}
      {step.inherited && (
        <>
          <dt>Inherited</dt>
          <dd>by a reset, from the previous execution</dd>
        </>
      )}
      {step.risk && (
        <>
          <dt>Risk</dt>
          <dd>
            <RiskMark risk={step.risk} />
          </dd>
        </>
      )}
      {step.worker && (
        <>
          <dt>Worker</dt>
          <dd className="cut" title={step.worker}>
            {step.worker}
          </dd>
        </>
      )}
      {used && (
        <>
          <dt>Usage</dt>
          <dd className="num">
            {used.usd != null ? usd(used.usd, 4) : "unpriced"}{" "}
            <span className="muted">
              {count(used.input_tokens)} in, {count(used.output_tokens)} out
              {used.cached_tokens > 0 && `, ${count(used.cached_tokens)} cached`}
              {used.model && `, ${used.model}`}
            </span>
          </dd>
        </>
      )}
    </dl>
  );
}
