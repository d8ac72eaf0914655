import type { Overview as Figures } from "../api/client";
import { ButtonLink } from "../components/Button";
import { Catalogs } from "../components/overview/Catalogs";
import { ConditionStrips } from "../components/overview/Conditions";
import { Empty } from "../components/overview/Empty";
import { FigureRow } from "../components/overview/Figures";
import { RecentFailures, CurrentRuns, PendingApprovals } from "../components/overview/Lists";
import { ComingUp } from "../components/overview/Next";
import classes from "../components/overview/Overview.module.css";
import { Shape } from "../components/overview/Shape";
import { useOverview } from "../components/useOverview";
import { Bar, Scroll } from "../components/Page";
import { Failed, useAway } from "../components/States";
import { clock, dayTitle, zoneName } from "../format";
import { useNow } from "../live/now";

const FEW = 6; // runs shown below the approvals box

function Today() {
  const now = useNow();
  return (
    <span className={classes.as}>
      {dayTitle(now, now).replace("Today, ", "")}, {clock(now)} {zoneName()}
    </span>
  );
}
/** Left: approvals to decide, if any, and current runs. Right: what happens next and recent failures. Below: the catalogs. */
function Lists({ overview, lists }: { overview: Figures; lists: NonNullable<Figures["lists"]> }) {
  const mine = lists.approvals.length > 0;
  return (
    <>
      <div className={classes.two}>
        <div>
          {mine && <PendingApprovals approvals={lists.approvals} total={overview.approvals_for_me.count} />}
          <CurrentRuns runs={mine ? lists.open.slice(0, FEW) : lists.open} overview={overview} />
        </div>
        <div data-beside-box={mine || undefined}>
          <ComingUp overview={overview} />
          <RecentFailures runs={lists.unsuccessful} overview={overview} />
        </div>
      </div>
      <Catalogs workflows={lists.workflows} agents={lists.agents} tools={lists.tools} />
    </>
  );
}

/** Current runs, pending approvals, failures, what happens next, and the catalogs. */
export default function Overview() {
  const away = useAway();
  const { data: overview, error, refetch } = useOverview();
  const lists = overview?.lists;
  const body =
    overview && lists ? (
      lists.started ? (
        <div className={classes.page} data-old={overview.projection.stale || away || undefined}>
          <FigureRow overview={overview} />
          <Lists overview={overview} lists={lists} />
        </div>
      ) : (
        <Empty workflows={lists.workflows} />
      )
    ) : error ? (
      <Failed error={error} reset={() => void refetch()} />
    ) : (
      <Shape />
    );
  return (
    <>
      <Bar crumbs={[{ word: "Overview" }]}>
        <Today />
        <ButtonLink to="/workflows" disabled={away}>
          Start a run
        </ButtonLink>
      </Bar>
      {overview && <ConditionStrips conditions={overview.conditions} />}
      <Scroll>{body}</Scroll>
    </>
  );
}
