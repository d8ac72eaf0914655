import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import * as q from "../../api/queries";
import { moment } from "../../format";
import { useNow } from "../../live/now";
import { Button } from "../Button";
import { pastRuleText } from "../rules";
import { Failed } from "../States";
import classes from "./Panel.module.css";
import { Text } from "../Text";
import { Why } from "../Why";

const SHOWN = 8;
const MOST = 50; // the maximum that the API returns

/** The earlier versions of a rule. */
export function RulePast({ rule, current }: { rule: string; current: string }) {
  const now = useNow();
  const [all, setAll] = useState(false);
  const { data, error, refetch } = useQuery(q.policies.one(rule));
  if (error && !data) return <Failed error={error} reset={() => void refetch()} />;
  const before = data?.versions.filter((v) => data.withdrawn || String(v.version) !== current) ?? [];
  if (!before.length) return null;
  return (
    <section>
      <h3>Earlier versions</h3>
      <ol className={classes.past}>
        {before.slice(0, all ? undefined : SHOWN).map((v) => (
          <li key={v.version}>
            <b>v{v.version}</b>
            <span>
              <Text>{pastRuleText(v)}</Text>. <Why title={v.title} reason={v.reason} />
            </span>
            <i>
              <Text>{v.created_by}</Text>, {moment(v.created_at, now)}
            </i>
          </li>
        ))}
      </ol>
      {!all && before.length > SHOWN && (
        <Button small look="quiet" onClick={() => setAll(true)}>
          Show {before.length - SHOWN} more
        </Button>
      )}
      {all && data?.versions.length === MOST && <p className="muted">Older versions are in the audit log.</p>}
    </section>
  );
}
