import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { RunDetail } from "../../api/client";
import * as q from "../../api/queries";
import { sentenceOf, why, type Titles } from "../../audit";
import { clockMs, exact, flowTitle, moment, words } from "../../format";
import { Button } from "../Button";
import { Json } from "../Json";
import { Failed, Hidden, Skeleton } from "../States";
import { Text } from "../Text";
import classes from "./History.module.css";

/** A Temporal history event as JSON. */
interface HistoryEvent {
  eventId?: string;
  eventTime?: string;
  eventType?: string;
  [attributes: string]: unknown;
}
const COMMON = new Set(["eventId", "eventTime", "eventType", "version", "taskId"]);
const typeOf = (e: HistoryEvent) =>
  words((e.eventType ?? "unknown").replace(/^EVENT_TYPE_/, "").toLowerCase()).replace(
    /^Workflow execution /,
    "Execution ",
  );

/** The subject of the event: the activity's type, the timer's or the signal's name. */
function about(e: HistoryEvent): string {
  const own = Object.entries(e).find(([key]) => key.endsWith("Attributes"))?.[1];
  if (!own || typeof own !== "object") return "";
  const a = own as Record<string, unknown>;
  const named = [a.activityType, a.workflowType].find(
    (t): t is { name: string } => !!t && typeof t === "object" && "name" in t,
  );
  const name = named?.name ?? a.signalName ?? a.timerId ?? a.markerName ?? a.activityId ?? "";
  const since = a.scheduledEventId ?? a.startedEventId ?? a.initiatedEventId;
  return [String(name), since ? `event ${String(since)}` : ""].filter(Boolean).join(", ");
}
function Event({ event }: { event: HistoryEvent }) {
  const [open, setOpen] = useState(false);
  const rest = Object.fromEntries(Object.entries(event).filter(([key]) => !COMMON.has(key)));
  return (
    <li>
      <button type="button" className={classes.row} aria-expanded={open} onClick={() => setOpen(!open)}>
        <span className="num">{event.eventId}</span>
        <time dateTime={event.eventTime} title={event.eventTime && exact(event.eventTime)}>
          {event.eventTime && clockMs(event.eventTime)}
        </time>
        <b>{typeOf(event)}</b>
        <span className="cut">
          <Text>{about(event)}</Text>
        </span>
      </button>
      {open && (
        <div className={classes.whole}>
          <Json value={rest} />
        </div>
      )}
    </li>
  );
}
function Events({ run, execution }: { run: RunDetail; execution: string | undefined }) {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    ...q.runs.history(run.run_id, execution),
    enabled: run.payloads_visible && !!(execution ?? run.execution_id),
  });
  if (!run.payloads_visible) return <Hidden />;
  if (!run.execution_id) return <p className="muted">The run hasn’t started: there is no history yet.</p>;
  if (!data) return error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={8} />;
  const source = data.pages[0]!.source;
  return (
    <>
      <p className="muted">
        {source === "archive" ? "From the archive: Temporal may no longer have it." : "From Temporal."}
      </p>
      <ol className={classes.events}>
        {data.pages
          .flatMap((p) => p.items)
          .map((e, i) => (
            <Event key={i} event={e as HistoryEvent} />
          ))}
      </ol>
      {hasNextPage && (
        <Button onClick={() => void fetchNextPage()} disabled={isFetchingNextPage}>
          {isFetchingNextPage ? "Loading…" : "Later events"}
        </Button>
      )}
    </>
  );
}
/** The commands for the run, limited to those this user may list. */
function Commands({ run }: { run: RunDetail }) {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery(
    q.commands.pages({ run: run.run_id }),
  );
  if (!data) return error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={3} />;
  const items = data.pages.flatMap((p) => p.items);
  if (!items.length) return <p className="muted">None that you can see.</p>;
  const titles: Titles = (noun, name) => (noun === "workflow" && name === run.workflow ? flowTitle(run) : words(name));
  return (
    <>
      <ol className={classes.commands}>
        {items.map((c) => (
          <li key={c.command_id}>
            <time dateTime={c.created_at} title={exact(c.created_at)}>
              {moment(c.created_at, undefined, true)}
            </time>
            <span>
              <b>
                <Text>{c.principal}</Text>
              </b>{" "}
              <Text>{sentenceOf(c, titles)}</Text>
              {why(c) && (
                <i>
                  <Text>{why(c) ?? ""}</Text>
                </i>
              )}
            </span>
            <Link to="/audit" search={{ q: c.command_id, at: c.command_id }} className="link">
              {c.status}
            </Link>
          </li>
        ))}
      </ol>
      {hasNextPage && (
        <Button onClick={() => void fetchNextPage()} disabled={isFetchingNextPage}>
          {isFetchingNextPage ? "Loading…" : "Older commands"}
        </Button>
      )}
    </>
  );
}

/** The full record of a run: its commands, and the history events of its executions. */
export default function History({ run, execution }: { run: RunDetail; execution: string | undefined }) {
  return (
    <div className={classes.history}>
      <section>
        <h2>Commands</h2>
        <Commands run={run} />
      </section>
      <section>
        <h2>History events</h2>
        <Events run={run} execution={execution} />
      </section>
    </div>
  );
}
