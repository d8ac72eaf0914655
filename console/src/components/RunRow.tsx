import { Link } from "@tanstack/react-router";
import { memo } from "react";
import type { Run } from "../api/client";
import { count, flowTitle, left, span, usd } from "../format";
import { useNow } from "../live/now";
import classes from "../screens/Runs.module.css";
import { STATUS, StatusIcon, statusOf } from "../status";
import { Ago, Progress } from "./Bits";
import { Text } from "./Text";

const HOUR = 3_600_000;

/** What it does now, why it failed, or until when it waits: the one thing to know about it. */
function Says({ r }: { r: Run }) {
  const now = useNow();
  const s = statusOf(r);
  const rest = r.next_at ? left(r.next_at, now) : "";
  if (s === "approval")
    return (
      <>
        <b>
          <Text>{r.current_step ?? ""}</Text>
        </b>
        {r.next_at && (
          <>
            , <em data-soon={Date.parse(r.next_at) - now < HOUR || undefined}>{rest} left</em>
          </>
        )}
      </>
    );
  if (s === "retrying")
    return (
      <>
        <b>
          <Text>{r.current_step ?? ""}</Text>
        </b>{" "}
        {rest && `again in ${rest}`}
      </>
    );
  if (s === "sleeping")
    return (
      <>
        <b>
          <Text>{r.current_step ?? ""}</Text>
        </b>{" "}
        {rest && `in ${rest}`}
      </>
    );
  if (s === "queued")
    return (
      <>
        {r.start_at && Date.parse(r.start_at) > now
          ? `starts in ${left(r.start_at, now)}`
          : "starts when a worker is free"}
      </>
    );
  return <Text>{r.status_reason ?? r.current_step ?? ""}</Text>;
}
export const RunRow = memo(function RunRow({ r }: { r: Run }) {
  const s = statusOf(r);
  return (
    <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.row} data-tone={STATUS[s].tone}>
      <StatusIcon status={s} />
      <span className="cut">
        <b>{flowTitle(r)}</b>{" "}
        <span className="muted">
          <Text>{r.reference ?? ""}</Text>
        </span>
      </span>
      <span className={`cut ${classes.says}`}>
        <Says r={r} />
      </span>
      <span className={classes.steps}>
        {r.step_count > 0 && (
          <>
            <i className="num">
              {r.steps_done === r.step_count ? count(r.step_count) : `${count(r.steps_done)}/${count(r.step_count)}`}
            </i>
            {r.steps_done !== r.step_count && (
              <Progress done={r.steps_done} failed={r.steps_failed} total={r.step_count} />
            )}
          </>
        )}
      </span>
      <span className={classes.fig}>{r.usage && (r.usage.usd != null ? usd(r.usage.usd, 3) : "unpriced")}</span>
      <span className="cut muted">{r.initiator}</span>
      <span className={classes.fig}>
        <Ago at={r.created_at} />
      </span>
      <span className={classes.fig}>{r.closed_at && span(Date.parse(r.closed_at) - Date.parse(r.created_at))}</span>
    </Link>
  );
});
