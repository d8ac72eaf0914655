import { useQuery } from "@tanstack/react-query";
import type { AgentDetail } from "../../api/client";
import * as q from "../../api/queries";
import { count, day, plural, tokens, usd } from "../../format";
import { useNow } from "../../live/now";
import classes from "../Spend.module.css";
import { Failed, Skeleton } from "../States";
import { timeOf } from "../rules";
import { Cost } from "./Cost";
import type { Limits } from "./diff";

const DAY = 24 * 60 * 60_000;

/** Daily cost over two weeks; in tokens if no price is known. */
function Days({ name }: { name: string }) {
  const now = useNow();
  const { data, error, refetch } = useQuery(q.agents.usage(name));
  if (error && !data) return <Failed error={error} reset={() => void refetch()} />;
  if (!data) return <Skeleton rows={3} />;
  const priced = !!data.total.usd;
  const today = Math.floor(now / DAY);
  const days = Array.from({ length: q.agents.DAYS }, (_, i) => {
    const at = (today - q.agents.DAYS + 1 + i) * DAY;
    const b = data.items.find((x) => Date.parse(x.start) === at);
    return { at, n: priced ? (b?.usd ?? 0) : b ? b.input_tokens + b.output_tokens : 0 };
  });
  const write = (n: number) => (priced ? usd(n) : plural(n, "token"));
  const most = Math.max(...days.map((d) => d.n));
  const last = days.at(-1)!.n;
  return (
    <>
      <p className={classes.figure}>
        <b>{priced ? usd(last) : tokens(last)}</b> {priced ? "today" : "tokens today"}
        {data.total.unpriced > 0 && `, ${plural(data.total.unpriced, "turn")} without a known price`}
      </p>
      <div className={classes.chart} data-plain role="img" aria-label={`By day; today ${write(last)}`}>
        {days.map((d, i) => (
          <i
            key={d.at}
            data-today={i === days.length - 1 || undefined}
            style={{ height: `${most ? (d.n / most) * 100 : 0}%` }}
            title={`${day(d.at)}: ${write(d.n)}`}
          />
        ))}
        {most > 0 && <em>{write(most)}</em>}
      </div>
      <p className={classes.under}>
        <span>{day(days[0]!.at)}</span>
        <span>today</span>
      </p>
    </>
  );
}
const rows = (l: Limits): [string, string][] => [
  ["Cost", l.usd === null ? "" : usd(l.usd)],
  ["Model turns", l.requests === null ? "" : count(l.requests)],
  ["Tool calls", l.tool_calls === null ? "" : count(l.tool_calls)],
  ["Tokens", l.tokens === null ? "" : count(l.tokens)],
  ["Time", l.seconds === null ? "" : timeOf(l.seconds)],
];
/** The limits of one call, and recent usage. */
export function Use({ agent }: { agent: AgentDetail }) {
  const limits = agent.active?.limits;
  return (
    <div className={classes.spend}>
      <div>
        <Days name={agent.name} />
      </div>
      <div className={classes.call}>
        <Cost stats={agent.stats} limits={limits} />
        {limits && (
          <div>
            <p className={classes.figure}>One call stops at</p>
            <dl className={classes.limits}>
              {rows(limits).map(([word, most]) => (
                <div key={word}>
                  <dt>{word}</dt>
                  <dd data-none={!most || undefined}>{most || "no limit"}</dd>
                </div>
              ))}
            </dl>
            <p className="muted">
              {limits.soft === null
                ? "It stops there without asking to continue."
                : `At ${Math.round(limits.soft * 100)}% of a limit it asks people whether to continue.`}
            </p>
          </div>
        )}
      </div>
    </div>
  );
}
