import { useQuery } from "@tanstack/react-query";
import * as q from "../api/queries";
import { ButtonLink } from "../components/Button";
import { Catalogs } from "../components/overview/Catalogs";
import { ConditionStrips } from "../components/overview/Conditions";
import { Empty } from "../components/overview/Empty";
import { FigureRow } from "../components/overview/Figures";
import { FailedLately, RunsNow, WaitsForYou } from "../components/overview/Lists";
import { HappensNext } from "../components/overview/Next";
import classes from "../components/overview/Overview.module.css";
import { Bar, Scroll, Section } from "../components/Page";
import { Failed, Skeleton, useAway } from "../components/States";

const ROWS = 6;

/** What runs, what waits for a person, what failed, what comes next, and what there is. */
export default function Overview() {
  const away = useAway();
  const { data: overview, error, refetch } = useQuery(q.me.overview());
  const { data: mine } = useQuery(q.approvals.list({ status: ["pending"], decidable_by: "me", limit: 50 }));
  const { data: open } = useQuery(q.runs.list({ status: ["running", "queued", "waiting"] }, 100));
  const { data: failed } = useQuery(q.runs.list({ status: ["failed", "timed_out", "terminated"] }, ROWS));
  const runs = open?.items ?? [];
  const never = overview && open && failed && !runs.length && !failed.items.length && !overview.completed_24h.count;
  const body = !overview ? (
    error ? (
      <Failed error={error} reset={() => void refetch()} />
    ) : (
      <Skeleton rows={10} />
    )
  ) : never ? (
    <Empty />
  ) : (
    <div className={classes.page} data-old={overview.projection.stale || away || undefined}>
      <FigureRow overview={overview} />
      <div className={classes.two}>
        {mine?.items.length ? (
          <WaitsForYou approvals={mine.items} total={overview.approvals_for_me.count} />
        ) : (
          <RunsNow runs={runs} />
        )}
        <HappensNext next={overview.next} />
        {mine?.items.length ? (
          <RunsNow runs={runs} />
        ) : (
          <Section title="Waits for you" more="All approvals" to="/approvals">
            <p className={classes.none}>Nothing waits for you.</p>
          </Section>
        )}
        <FailedLately runs={failed?.items ?? []} total={overview.unsuccessful_24h.count} />
      </div>
      <Catalogs />
    </div>
  );
  return (
    <>
      <Bar crumbs={[{ word: "Overview" }]}>
        <ButtonLink to="/workflows" disabled={away}>
          Start a run
        </ButtonLink>
      </Bar>
      {overview && <ConditionStrips conditions={overview.conditions} />}
      <Scroll>{body}</Scroll>
    </>
  );
}
