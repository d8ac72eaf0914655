import type { Run } from "../api/client";
import { doingOf } from "../doing";
import { useNow } from "../live/now";
import { visible } from "../unseen";
import classes from "./Doing.module.css";
import { Text } from "./Text";

const HOUR = 3_600_000;

interface Props {
  r: Run;
  /** Shown if nothing else is known, for example to a viewer, who can't read the step's name. */
  fallback?: string;
}
/** What a run is doing, why it failed, or how long it waits. In a narrow cell the remaining time is never what gets cut off. */
export function Doing({ r, fallback = "" }: Props) {
  const now = useNow();
  const { what, until, at } = doingOf(r, now);
  const soon = r.waiting_on === "approval" && at && Date.parse(at) - now < HOUR;
  const What = until ? "b" : "span";
  return (
    <span className={classes.doing} title={visible((r.closed_at && r.status_reason) || what)}>
      <What className="cut">
        <Text>{what || fallback}</Text>
      </What>
      {until && (
        <span className={classes.until} data-soon={soon || undefined}>
          , {until}
        </span>
      )}
    </span>
  );
}
