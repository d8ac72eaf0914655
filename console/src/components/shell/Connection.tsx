import { moment, span } from "../../format";
import { useNow } from "../../live/now";
import { useLive } from "../../live/stream";
import { useOverview } from "../useOverview";
import classes from "../Shell.module.css";

/** Whether what is shown is as it is now. */
export function Connection() {
  const live = useLive();
  const now = useNow();
  const { data: overview } = useOverview();
  const mirror = overview?.projection;
  if (live.state === "reconnecting")
    return (
      <p className={classes.live} data-state="away">
        <i />
        Reconnecting <span>since {moment(live.since, now)}</span>
      </p>
    );
  if (mirror?.stale)
    return (
      <p className={classes.live} data-state="stale">
        <i />
        {mirror.updated_at ? `Mirror ${span(now - Date.parse(mirror.updated_at))} behind` : "No mirror yet"}
      </p>
    );
  return (
    <p className={classes.live} data-state={live.state === "live" ? undefined : "connecting"}>
      <i />
      {live.state === "live" ? "Live" : "Connecting"}{" "}
      <span>{mirror?.lag_seconds != null && `mirror ${mirror.lag_seconds.toFixed(1)} s`}</span>
    </p>
  );
}
