import { Link } from "@tanstack/react-router";
import { Clock, Hourglass, Play, RotateCw } from "lucide-react";
import type { Overview } from "../../api/client";
import { clock, day, flowTitle, left, words } from "../../format";
import { useNow } from "../../live/now";
import { Section } from "../Page";
import classes from "./Overview.module.css";

const ROWS = 6;
const DAY = 86_400_000;
const NEXT = {
  approval_expires: { Icon: Hourglass, word: "expires" },
  retry: { Icon: RotateCw, word: "tries again" },
  timer: { Icon: Clock, word: "goes on" },
  start: { Icon: Play, word: "starts" },
} as const;
/** What happens by itself, and when. */
export function HappensNext({ next }: { next: Overview["next"] }) {
  const now = useNow();
  const today = (t: string) => Date.parse(t) - now < DAY;
  return (
    <Section title="Happens next" className={classes.next}>
      {next.length ? (
        <ol>
          {next.slice(0, ROWS).map((n) => {
            const { Icon, word } = NEXT[n.kind];
            return (
              <li key={`${n.kind}${n.run_id}${n.approval_id}`}>
                <Link
                  to={n.approval_id ? "/approvals/$id" : "/runs/$id"}
                  params={{ id: n.approval_id ?? n.run_id }}
                  className={classes.event}
                >
                  <time dateTime={n.at}>{today(n.at) ? clock(n.at) : day(n.at)}</time>
                  <Icon size={14} strokeWidth={1.9} aria-hidden />
                  <div className="cut">
                    <b>
                      {n.current_step ?? (n.tool ? (n.tool_title ?? words(n.tool)) : flowTitle(n))} {word}
                    </b>
                    <span className="cut">{[flowTitle(n), n.reference].filter(Boolean).join(" · ")}</span>
                  </div>
                  <span className="num muted">in {left(n.at, now)}</span>
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
