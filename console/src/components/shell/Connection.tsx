import { moment, span } from "../../format";
import { useNow } from "../../live/now";
import { useLive } from "../../live/stream";
import { useOverview } from "../useOverview";
import classes from "../Shell.module.css";

/** Whether the page is live, and how far its data lags. */
export function Connection() {
  const live = useLive();
  const now = useNow();
  const { data: overview } = useOverview();
  const projection = overview?.projection;
  if (live.state === "reconnecting")
    return (
      <p className={classes.live} data-state="away">
        <i />
        Reconnecting <span>since {moment(live.since, now)}</span>
      </p>
    );
  if (projection?.stale)
    return (
      <p className={classes.live} data-state="stale">
        <i />
        {projection.updated_at ? `${span(now - Date.parse(projection.updated_at))} behind` : "No data yet"}
      </p>
    );
  return (
    <p className={classes.live} data-state={live.state === "live" ? undefined : "connecting"}>
      <i />
      {live.state === "live" ? "Live" : "Connecting"}{" "}
      <span>{projection?.lag_seconds != null && `lag ${projection.lag_seconds.toFixed(1)} s`}</span>
    </p>
  );
}
