import { Link } from "@tanstack/react-router";
import { Clock, Hourglass, Play, RotateCw } from "lucide-react";
import type { Overview } from "../../api/client";
import { clock, day, left } from "../../format";
import { useNow } from "../../live/now";
import { Section } from "../Page";
import { Text } from "../Text";
import { upcomingRows } from "./due";
import classes from "./Overview.module.css";

const ROWS = 6;
const DAY = 86_400_000;
const ICON = { approval_expires: Hourglass, retry: RotateCw, timer: Clock, start: Play } as const;

/** Scheduled events, and when they happen. */
export function ComingUp({ overview }: { overview: Overview }) {
  const now = useNow();
  const today = (t: string) => Date.parse(t) - now < DAY;
  const rows = upcomingRows(overview.next).slice(0, ROWS);
  return (
    <Section title="Coming up">
      {rows.length ? (
        <ol>
          {rows.map(({ key, kind, at, title, about, approval_id, run_id }) => {
            const Icon = ICON[kind];
            const to = run_id
              ? ({ to: "/runs/$id", params: { id: run_id } } as const)
              : approval_id
                ? ({ to: "/approvals/$id", params: { id: approval_id } } as const)
                : ({ to: "/approvals", search: overview.approvals_for_me.count ? {} : { whose: "all" } } as const);
            return (
              <li key={key}>
                <Link {...to} className={classes.event}>
                  <time dateTime={at}>{today(at) ? clock(at) : day(at)}</time>
                  <Icon size={14} strokeWidth={1.9} aria-hidden />
                  <div className="cut">
                    <b>
                      <Text>{title}</Text>
                    </b>
                    <span className="cut">
                      <Text>{about}</Text>
                    </span>
                  </div>
                  <span className="num muted">in {left(at, now)}</span>
                </Link>
              </li>
            );
          })}
        </ol>
      ) : (
        <p className={classes.none}>Nothing is due.</p>
      )}
    </Section>
  );
}
