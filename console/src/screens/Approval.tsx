import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { ArrowUpRight, Info } from "lucide-react";
import { useState } from "react";
import type { ApprovalDetail } from "../api/client";
import * as q from "../api/queries";
import { LISTS } from "../api/queries/approvals";
import { Ident } from "../components/Bits";
import { Button } from "../components/Button";
import { Letter } from "../components/letter/Letter";
import { Bar } from "../components/Page";
import { ruleRef } from "../components/rules";
import { Side } from "../components/Side";
import { Failed, Skeleton } from "../components/States";
import { Text } from "../components/Text";
import { agentTitle, digestGroups, exact, flowTitle, moment, shortId } from "../format";
import { StatusIcon, statusOf } from "../status";
import classes from "./Approval.module.css";

function Why({ a }: { a: ApprovalDetail }) {
  if (!a.rule) return null;
  const { builtIn, version } = ruleRef(a.rule.rule);
  return (
    <section>
      <h3>Why this needs approval</h3>
      <p>
        <b>
          <Text>{a.rule.title}</Text>
        </b>
      </p>
      {a.rule.reason && (
        <p>
          <Text>{a.rule.reason}</Text>
        </p>
      )}
      <p className="muted" title={a.rule.rule}>
        {builtIn ? "Built in" : `Version ${version}`}
        {a.rule.created_by && a.rule.created_at && ` by ${a.rule.created_by}, ${moment(a.rule.created_at)}`}
        {a.tool && (
          <>
            {" · "}
            <Link to="/tools/$name" params={{ name: a.tool }} className="link">
              View rule
            </Link>
          </>
        )}
      </p>
    </section>
  );
}
function RunSection({ a }: { a: ApprovalDetail }) {
  return (
    <section>
      <h3>Run</h3>
      <Link to="/runs/$id" params={{ id: a.run_id }} className={classes.run}>
        <StatusIcon
          status={statusOf({ status: a.run_status, waiting_on: a.run_status === "waiting" ? "approval" : null })}
        />
        <span>
          <b>
            <Text>{flowTitle(a)}</Text>
          </b>{" "}
          <Text>{a.reference ?? shortId(a.run_id)}</Text>
        </span>
        <ArrowUpRight size={14} aria-hidden />
      </Link>
      {a.agent && (
        <p className="muted">
          <Text>{agentTitle(a)}</Text>
          {a.agent_version && `, version ${a.agent_version.slice(0, 8)}`}
          {a.turn != null && `, turn ${a.turn}`}
        </p>
      )}
    </section>
  );
}
/** Reference information beside the letter: the rule, who can decide, the run, the proof. */
function About({ a }: { a: ApprovalDetail }) {
  return (
    <div className={classes.about}>
      <Why a={a} />
      <section>
        <h3>Who can decide</h3>
        <p>{a.who.text}</p>
      </section>
      {a.status === "pending" && a.expires_at && (
        <section>
          <h3>If nobody decides</h3>
          <p>
            It expires {moment(a.expires_at)}, and the call isn’t made{a.agent && "; the agent gets a refusal"}.
          </p>
        </section>
      )}
      <RunSection a={a} />
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
    </div>
  );
}

/** The letter on its own page. A decision leads to the next approval that this person can decide. */
export default function Approval() {
  const { id } = useParams({ strict: false }) as { id: string };
  const go = useNavigate();
  const [about, setAbout] = useState(false);
  const [first] = useState(id);
  const { data: a, error, refetch } = useQuery(q.approvals.one(id));
  const { data: mine } = useQuery(q.approvals.list(LISTS.me));
  const crumbs = [{ word: "Approvals", to: "/approvals" }, { word: a?.reference ?? shortId(id) }];
  if (!a)
    return (
      <>
        <Bar crumbs={crumbs} />
        {error ? <Failed error={error} reset={() => void refetch()} /> : <Skeleton rows={8} inset />}
      </>
    );
  const next = mine?.items.find((other) => other.approval_id !== id);
  const onDecided = () =>
    next
      ? void go({ to: "/approvals/$id", params: { id: next.approval_id }, replace: true })
      : void go({ to: "/approvals" });
  return (
    <>
      <Bar crumbs={crumbs}>
        <span className={classes.open}>
          <Button look="quiet" icon={<Info size={14} aria-hidden />} onClick={() => setAbout(true)}>
            Details
          </Button>
        </span>
      </Bar>
      <div className={classes.page}>
        <div className={classes.letter}>
          <Letter key={id} approval={a} wide follows={id !== first} onDecided={onDecided} />
        </div>
        <Side label="About this approval" picked={about} onClose={() => setAbout(false)}>
          <About a={a} />
        </Side>
      </div>
    </>
  );
}
