import type { Run } from "../api/client";
import { doingOf } from "../doing";
import { useNow } from "../live/now";
import { visible } from "../unseen";
import classes from "./Doing.module.css";
import { Text } from "./Text";

const HOUR = 3_600_000;

interface Props {
  r: Run;
  /** Where nothing else is to be said, as to a viewer, who may not read the name of the step. */
  otherwise?: string;
}
/** What a run does now, why it failed, or until when it waits. Where there is little room, the time that is left is not what is cut. */
export function Doing({ r, otherwise = "" }: Props) {
  const now = useNow();
  const { what, until, at } = doingOf(r, now);
  const soon = r.waiting_on === "approval" && at && Date.parse(at) - now < HOUR;
  const What = until ? "b" : "span";
  return (
    <span className={classes.doing} title={visible((r.closed_at && r.status_reason) || what)}>
      <What className="cut">
        <Text>{what || otherwise}</Text>
      </What>
      {until && (
        <span className={classes.until} data-soon={soon || undefined}>
          , {until}
        </span>
      )}
    </span>
  );
}
