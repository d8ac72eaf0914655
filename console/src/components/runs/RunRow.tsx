import { Link } from "@tanstack/react-router";
import { memo } from "react";
import type { Run } from "../../api/client";
import { doingOf } from "../../doing";
import { aboutOf, count, flowTitle, span, usd } from "../../format";
import { useNow } from "../../live/now";
import classes from "../../screens/Runs.module.css";
import { STATUS, StatusIcon, statusOf } from "../../status";
import { Ago, MANY, Progress } from "../Bits";
import { Text } from "../Text";

const HOUR = 3_600_000;

/** What it does now, why it failed, or until when it waits: the one thing to know about it. */
function Says({ r }: { r: Run }) {
  const now = useNow();
  const { what, until, at } = doingOf(r, now);
  if (!until) return <Text>{what}</Text>;
  const soon = r.waiting_on === "approval" && at && Date.parse(at) - now < HOUR;
  return (
    <>
      <b>
        <Text>{what}</Text>
      </b>
      , <em data-soon={soon || undefined}>{until}</em>
    </>
  );
}
export const RunRow = memo(function RunRow({ r }: { r: Run }) {
  const s = statusOf(r);
  return (
    <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.row} data-tone={STATUS[s].tone}>
      <StatusIcon status={s} />
      <span className="cut">
        <b>{flowTitle(r)}</b>{" "}
        <span className="muted">
          <Text>{aboutOf(r)}</Text>
        </span>
      </span>
      <span className={`cut ${classes.says}`} title={r.closed_at ? (r.status_reason ?? undefined) : undefined}>
        <Says r={r} />
      </span>
      <span className={classes.steps}>
        {r.step_count > 0 && (
          <>
            <i className="num">
              {r.steps_done === r.step_count ? count(r.step_count) : `${count(r.steps_done)}/${count(r.step_count)}`}
            </i>
            {r.step_count >= MANY && r.steps_done !== r.step_count && (
              <Progress done={r.steps_done} failed={r.steps_failed} total={r.step_count} />
            )}
          </>
        )}
      </span>
      <span className={classes.fig}>
        {r.usage && (r.usage.usd == null ? "unpriced" : r.usage.usd > 0 && usd(r.usage.usd, 3))}
      </span>
      <span className="cut muted">{r.initiator}</span>
      <span className={classes.fig}>
        <Ago at={r.created_at} />
      </span>
      <span className={classes.fig}>{r.closed_at && span(Date.parse(r.closed_at) - Date.parse(r.created_at))}</span>
    </Link>
  );
});
