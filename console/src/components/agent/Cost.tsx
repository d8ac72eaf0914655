import type { AgentDetail } from "../../api/client";
import { usd } from "../../format";
import classes from "../Spend.module.css";
import type { Limits } from "./diff";

/** The cost of a call, against where it asks to continue and where it stops. Empty if no recent call has a known price. */
export function Cost({ stats, limits }: { stats: AgentDetail["stats"]; limits: Limits | undefined }) {
  const { p50_usd: median, p95_usd: most } = stats.calls;
  if (!median || most === null) return null;
  const stop = limits?.usd ?? null;
  const asks = stop !== null && limits?.soft ? stop * limits.soft : null;
  const end = Math.max(stop ?? 0, most);
  const share = (n: number) => `${(n / end) * 100}%`;
  const marks = [asks !== null && `asks to continue at ${usd(asks)}`, stop !== null && `stops at ${usd(stop)}`].filter(
    Boolean,
  );
  return (
    <>
      <p className={classes.figure}>
        <b>{usd(median)}</b> median per call, last 24 hours
      </p>
      <div className={classes.range} aria-hidden>
        <span className={classes.bar} style={{ width: share(most) }} />
        <span className={classes.bar} data-core style={{ width: share(median) }} />
        {asks !== null && <u style={{ left: share(asks) }} />}
        {stop !== null && <u style={{ left: share(stop) }} />}
      </div>
      <dl className={classes.legend}>
        <dt data-core /> <dd>median {usd(median)}</dd>
        <dt /> <dd>95% cost at most {usd(most)}</dd>
        {marks.length > 0 && (
          <>
            <dt data-line /> <dd>{marks.join(", ")}</dd>
          </>
        )}
      </dl>
    </>
  );
}
