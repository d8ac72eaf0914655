import { Link } from "@tanstack/react-router";
import { memo } from "react";
import type { Run } from "../../api/client";
import { aboutOf, count, flowTitle, span, usd } from "../../format";
import classes from "../../screens/Runs.module.css";
import { STATUS, StatusIcon, statusOf } from "../../status";
import { Ago, MANY, Progress } from "../Bits";
import { Doing } from "../Doing";
import { Text } from "../Text";

export const RunRow = memo(function RunRow({ r }: { r: Run }) {
  const s = statusOf(r);
  return (
    <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.row} data-tone={STATUS[s].tone}>
      <StatusIcon status={s} />
      <span className="cut">
        <b>
          <Text>{flowTitle(r)}</Text>
        </b>{" "}
        <span className="muted">
          <Text>{aboutOf(r)}</Text>
        </span>
      </span>
      <span className={`cut ${classes.doing}`}>
        <Doing r={r} />
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
