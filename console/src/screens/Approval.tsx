import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { ArrowUpRight } from "lucide-react";
import type { ApprovalDetail } from "../api/client";
import * as q from "../api/queries";
import { Ident } from "../components/Bits";
import { Letter } from "../components/letter/Letter";
import { Bar } from "../components/Page";
import { Failed, Skeleton } from "../components/States";
import { agentTitle, digestGroups, exact, flowTitle, moment, shortId } from "../format";
import { StatusIcon, statusOf } from "../status";
import classes from "./Approval.module.css";

function Why({ a }: { a: ApprovalDetail }) {
  if (!a.rule) return null;
  return (
    <section>
      <h3>Why you are asked</h3>
      <p>
        <b>{a.rule.title}</b>
      </p>
      {a.rule.reason && <p>{a.rule.reason}</p>}
      <p className="muted">
        {a.rule.created_by && a.rule.created_at && `${a.rule.created_by}, ${moment(a.rule.created_at)} · `}
        {a.tool ? (
          <Link to="/tools/$name" params={{ name: a.tool }} className="link">
            {a.rule.rule}
          </Link>
        ) : (
          a.rule.rule
        )}
      </p>
    </section>
  );
}
function Behind({ a }: { a: ApprovalDetail }) {
  return (
    <section>
      <h3>The run behind it</h3>
      <Link to="/runs/$id" params={{ id: a.run_id }} className={classes.run}>
        <StatusIcon
          status={statusOf({ status: a.run_status, waiting_on: a.run_status === "waiting" ? "approval" : null })}
        />
        <span>
          <b>{flowTitle(a)}</b> {a.reference ?? shortId(a.run_id)}
        </span>
        <ArrowUpRight size={14} aria-hidden />
      </Link>
      {a.agent && (
        <p className="muted">
          {agentTitle(a)}
          {a.agent_version && `, version ${a.agent_version.slice(0, 8)}`}
          {a.turn != null && `, turn ${a.turn}`}
        </p>
      )}
    </section>
  );
}
/** What one looks up beside the letter: the rule, who may answer, the run behind it, the proof. */
function Aside({ a }: { a: ApprovalDetail }) {
  return (
    <aside className={classes.aside} aria-label="About this approval">
      <Why a={a} />
      <section>
        <h3>Who may answer</h3>
        <p>{a.who.text}</p>
      </section>
      {a.status === "pending" && a.expires_at && (
        <section>
          <h3>If nobody does</h3>
          <p>It expires {moment(a.expires_at)}, and the call is not made.</p>
        </section>
      )}
      <Behind a={a} />
      <section>
        <h3>Proof</h3>
        <dl>
          <dt>Digest</dt>
          <dd>
            <Ident id={a.digest} show={digestGroups(a.digest)} />
          </dd>
          <dt>Opened</dt>
          <dd className="num">{exact(a.opened_at).slice(0, 19)}</dd>
          <dt>Approval</dt>
          <dd>
            <Ident id={a.approval_id} />
          </dd>
        </dl>
      </section>
    </aside>
  );
}

/** The letter on a page of its own. */
export default function Approval() {
  const { id } = useParams({ strict: false }) as { id: string };
  const go = useNavigate();
  const { data: a, error, refetch } = useQuery(q.approvals.one(id));
  const crumbs = [{ word: "Approvals", to: "/approvals" }, { word: a?.reference ?? shortId(id) }];
  if (!a)
    return (
      <>
        <Bar crumbs={crumbs} />
        {error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={8} />}
      </>
    );
  return (
    <>
      <Bar crumbs={crumbs} />
      <div className={classes.page}>
        <div className={classes.letter}>
          <Letter key={id} approval={a} wide onDecided={() => void go({ to: "/approvals" })} />
        </div>
        <Aside a={a} />
      </div>
    </>
  );
}
