import { Link } from "@tanstack/react-router";
import type { Overview } from "../../api/client";
import { count } from "../../format";
import type { Search } from "../../router";
import { STATUS } from "../../status";
import { Bars } from "../Bits";
import classes from "./Overview.module.css";

interface Figure {
  word: string;
  n: number;
  to: string;
  search?: Search;
  tone?: "person" | "wrong" | "retry";
  hours?: number[];
}
const { approval, failed, stuck, retrying, running, sleeping, waiting, queued, paused, completed } = STATUS;
/** In the order of the figures. */
export const WORD = {
  approval: approval.word,
  failed: `${failed.word}, 24 h`,
  stuck: stuck.word,
  retrying: retrying.word,
  running: running.word,
  waiting: `${sleeping.word}, ${waiting.word.toLowerCase()}`,
  queued: queued.word,
  paused: paused.word,
  completed: `${completed.word}, 24 h`,
};
/** The start of the period that a figure covers. Its list has the same start, so that the two agree. */
const since = (c: Overview["completed_24h"]) =>
  new URLSearchParams(c.href.split("?")[1]).get("closed_after") ?? undefined;
export const failures = (o: Overview): Search => ({
  status: "failed,timed_out,terminated",
  closed_after: since(o.unsuccessful_24h),
});
/** Problems and pending work first; zeros are muted. */
const figures = (o: Overview): Figure[] => [
  {
    word: WORD.approval,
    n: o.approvals_pending.count,
    tone: "person",
    to: "/approvals",
    search: o.approvals_for_me.count ? {} : { whose: "all" },
  },
  {
    word: WORD.failed,
    n: o.unsuccessful_24h.count,
    tone: "wrong",
    to: "/runs",
    search: failures(o),
    hours: o.hours.map((h) => h.failed),
  },
  { word: WORD.stuck, n: o.stuck.count, to: "/runs", search: { status: "stuck" } },
  { word: WORD.retrying, n: o.retrying.count, tone: "retry", to: "/runs", search: { status: "retrying" } },
  { word: WORD.running, n: o.running.count, to: "/runs", search: { status: "running" } },
  {
    word: WORD.waiting,
    n: o.waiting_otherwise.count,
    to: "/runs",
    search: { status: "sleeping,waiting" },
  },
  { word: WORD.queued, n: o.queued.count, to: "/runs", search: { status: "queued" } },
  { word: WORD.paused, n: o.paused.count, to: "/runs", search: { status: "paused" } },
  {
    word: WORD.completed,
    n: o.completed_24h.count,
    to: "/runs",
    search: { status: "completed", closed_after: since(o.completed_24h) },
    hours: o.hours.map((h) => h.completed),
  },
];

/** The number of runs in each state, each linked to its list. */
export function FigureRow({ overview }: { overview: Overview }) {
  return (
    <nav className={classes.figures} aria-label="Runs by state">
      {figures(overview).map((f) => (
        <Link
          key={f.word}
          to={f.to}
          search={f.search ?? {}}
          className={classes.figure}
          data-tone={f.tone}
          data-zero={!f.n || undefined}
          data-wide={(f.hours && !f.tone) || undefined}
        >
          <span>{f.word}</span>
          <b>{count(f.n)}</b>
          {f.hours && (
            <Bars values={f.hours} tone={f.tone === "wrong" ? "wrong" : undefined} label={`${f.word}, by the hour`} />
          )}
        </Link>
      ))}
    </nav>
  );
}
