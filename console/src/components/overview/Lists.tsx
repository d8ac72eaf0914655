import { Link } from "@tanstack/react-router";
import type { Approval, Overview, Run } from "../../api/client";
import { messageOf } from "../../doing";
import { aboutOf, count, flowTitle, plural } from "../../format";
import { RiskMark, STATUS, StatusIcon, statusOf } from "../../status";
import { visible } from "../../unseen";
import { Ago, Expiry, MANY, Progress } from "../Bits";
import { Doing } from "../Doing";
import { Section } from "../Page";
import { Text } from "../Text";
import { failures } from "./Figures";
import classes from "./Overview.module.css";

/** Approvals that this user can decide, most urgent first. */
export function PendingApprovals({ approvals, total }: { approvals: Approval[]; total: number }) {
  return (
    <section className={classes.person}>
      <header>
        <StatusIcon status="approval" />
        <h2>Waiting for you</h2>
        <em>{count(total)}</em>
        <Link to="/approvals">All approvals</Link>
      </header>
      <ul>
        {approvals.map((a) => (
          <li key={a.approval_id}>
            <Link to="/approvals/$id" params={{ id: a.approval_id }} className={classes.row}>
              <span className="cut">
                <b>
                  <Text>{a.title}</Text>
                </b>
              </span>
              <span className={`cut muted ${classes.by}`}>
                <Text>{[flowTitle(a), a.reference].filter(Boolean).join(" · ")}</Text>
              </span>
              <span className={classes.risk}>{a.risk === "destructive" && <RiskMark risk={a.risk} />}</span>
              {a.expires_at && <Expiry word="bare" from={a.opened_at} until={a.expires_at} />}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

const OPEN = ["running", "queued", "waiting", "paused", "cancelling"] as const;

/** A few open runs, those with the earliest next event first, and the total. */
export function CurrentRuns({ runs, overview }: { runs: Run[]; overview: Overview }) {
  const open = OPEN.reduce((sum, status) => sum + overview[status].count, 0);
  return (
    <Section title="Current runs" note={open ? count(open) : undefined} more="All runs" to="/runs">
      {runs.length ? (
        <ul className={classes.few}>
          {runs.map((r) => (
            <li key={r.run_id}>
              <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.run}>
                <StatusIcon status={statusOf(r)} />
                <span className="cut">
                  <b>
                    <Text>{flowTitle(r)}</Text>
                  </b>{" "}
                  <span className="muted">
                    <Text>{aboutOf(r)}</Text>
                  </span>
                </span>
                <span className={`cut muted ${classes.step}`}>
                  <Doing r={r} fallback={STATUS[statusOf(r)].word} />
                </span>
                <span className={classes.bar}>
                  {r.step_count >= MANY && (
                    <Progress done={r.steps_done} failed={r.steps_failed} total={r.step_count} />
                  )}
                </span>
                <span className={`num muted ${classes.end}`}>
                  {r.step_count > 0 && `${count(r.steps_done)} of ${count(r.step_count)}`}
                </span>
              </Link>
            </li>
          ))}
        </ul>
      ) : (
        <p className={classes.none}>Nothing is running.</p>
      )}
    </Section>
  );
}

/** The latest failures, and the total. */
export function RecentFailures({ runs, overview }: { runs: Run[]; overview: Overview }) {
  return (
    <Section
      title="Recent failures"
      note={`${plural(overview.unsuccessful_24h.count, "run")} in 24 h`}
      more="All failures"
      to="/runs"
      search={failures(overview)}
    >
      {runs.length ? (
        <ul>
          {runs.map((r) => (
            <li key={r.run_id}>
              <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.fail}>
                <StatusIcon status={statusOf(r)} />
                <div className="cut">
                  <b>
                    <Text>{flowTitle(r)}</Text>
                  </b>{" "}
                  <span className="muted">
                    <Text>{aboutOf(r)}</Text>
                  </span>
                  <span className="cut" title={visible(r.status_reason ?? "")}>
                    <Text>{messageOf(r) ?? ""}</Text>
                  </span>
                </div>
                <span className="num muted">
                  <Ago at={r.closed_at ?? r.created_at} />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      ) : (
        <p className={classes.none}>No failures.</p>
      )}
    </Section>
  );
}
