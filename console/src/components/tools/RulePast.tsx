import { useQuery } from "@tanstack/react-query";
import { ApiError } from "../../api/client";
import * as q from "../../api/queries";
import { moment, sentence } from "../../format";
import { useNow } from "../../live/now";
import { past } from "../rules";
import classes from "./Panel.module.css";

const SHOWN = 8;

/** What a rule said before it said what it says now. */
export function RulePast({ rule, current }: { rule: string; current: string }) {
  const now = useNow();
  const { data, error } = useQuery(q.policies.one(rule));
  const denied = error instanceof ApiError && error.status === 403;
  if (denied)
    return (
      <section>
        <h3>What it said before</h3>
        <p className="muted">{sentence(error.message)}.</p>
      </section>
    );
  const before = data?.versions.filter((v) => data.withdrawn || String(v.version) !== current) ?? [];
  if (!before.length) return null;
  return (
    <section>
      <h3>What it said before</h3>
      <ol className={classes.past}>
        {before.slice(0, SHOWN).map((v) => (
          <li key={v.version}>
            <b>v{v.version}</b>
            <span>
              {past(v)}. {v.reason && `${sentence(v.reason)}.`}
            </span>
            <i>
              {v.created_by}, {moment(v.created_at, now)}
            </i>
          </li>
        ))}
      </ol>
    </section>
  );
}
