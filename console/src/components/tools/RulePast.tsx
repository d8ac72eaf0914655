import { useQuery } from "@tanstack/react-query";
import * as q from "../../api/queries";
import { moment, sentence } from "../../format";
import { useNow } from "../../live/now";
import { past } from "../rules";
import { Failed } from "../States";
import classes from "./Panel.module.css";

const SHOWN = 8;

/** The earlier versions of a rule. */
export function RulePast({ rule, current }: { rule: string; current: string }) {
  const now = useNow();
  const { data, error, refetch } = useQuery(q.policies.one(rule));
  if (error && !data) return <Failed error={error} reset={() => void refetch()} />;
  const before = data?.versions.filter((v) => data.withdrawn || String(v.version) !== current) ?? [];
  if (!before.length) return null;
  return (
    <section>
      <h3>Earlier versions</h3>
      <ol className={classes.past}>
        {before.slice(0, SHOWN).map((v) => (
          <li key={v.version}>
            <b>v{v.version}</b>
            <span>
              {past(v)}. {v.title && <b>{sentence(v.title)}. </b>}
              {v.reason && `${sentence(v.reason)}.`}
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
