import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import * as q from "../../api/queries";
import { flowTitle, tokens, usd } from "../../format";
import classes from "../../screens/Agent.module.css";
import { STATUS, StatusIcon, statusOf } from "../../status";
import { Ago } from "../Bits";
import { Failed, Skeleton } from "../States";
import { Text } from "../Text";

const SHOWN = 8;

/** The newest runs that called it. */
export function Calls({ name }: { name: string }) {
  const { data, error, refetch } = useQuery(q.runs.list({ agent: name }, SHOWN));
  if (error && !data) return <Failed error={error} reset={() => void refetch()} />;
  if (!data) return <Skeleton rows={4} />;
  if (!data.items.length) return <p className="muted">No run has called it yet.</p>;
  return (
    <ul>
      {data.items.map((r) => {
        const s = statusOf(r);
        return (
          <li key={r.run_id}>
            <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.call}>
              <StatusIcon status={s} />
              <span className="cut">
                <Text>{flowTitle(r)}</Text>{" "}
                <span className="muted">
                  <Text>{r.reference ?? ""}</Text>
                </span>
              </span>
              <span className="muted cut">{STATUS[s].word}</span>
              <span className="num muted">
                {r.usage ? `${tokens(r.usage.input_tokens + r.usage.output_tokens)} tokens` : ""}
              </span>
              <span className="num">{r.usage && (r.usage.usd != null ? usd(r.usage.usd, 3) : "unpriced")}</span>
              <span className="num muted">
                <Ago at={r.created_at} />
              </span>
            </Link>
          </li>
        );
      })}
    </ul>
  );
}
