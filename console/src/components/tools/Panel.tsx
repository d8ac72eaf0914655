import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { ToolDetail } from "../../api/client";
import * as q from "../../api/queries";
import { isProposed, type Proposed } from "../../api/queries/policies";
import { moment, plural, sentence } from "../../format";
import { useNow } from "../../live/now";
import { RiskMark } from "../../status";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { Json } from "../Json";
import { ProposedNote, Proposals } from "../Proposals";
import { RuleEditor } from "../RuleEditor";
import { approversOf, ruleRef, timeOf } from "../rules";
import { Failed, Skeleton, useAway } from "../States";
import { KillSwitch } from "./KillSwitch";
import classes from "./Panel.module.css";
import { RulePast } from "./RulePast";
import { Used } from "./Used";

/** What the rule does to a call, as a sentence. */
function Says({ tool }: { tool: ToolDetail }) {
  const { effect, approvers, expires_seconds, changes } = tool.policy;
  if (effect === "deny") return <>No call passes, switched on or not.</>;
  if (effect === "allow")
    return (
      <>
        Calls pass <b>unasked</b>.
      </>
    );
  return (
    <>
      Each call asks <b>{approversOf(approvers)}</b>, and waits at most <b>{timeOf(expires_seconds)}</b>.
      {changes === "second_person" && " Changed arguments take two approvers."}
    </>
  );
}
/** Where the rule comes from. */
function Source({ tool }: { tool: ToolDetail }) {
  const { policy } = tool;
  const now = useNow();
  const ref = ruleRef(policy.rule);
  if (ref.builtIn)
    return (
      <p>
        The built-in rule for {tool.risk === "destructive" ? "destructive tools" : `tools that ${tool.risk}`}: nobody
        has put another.
      </p>
    );
  return (
    <p>
      {policy.title && <b>{sentence(policy.title)}. </b>}
      {policy.reason && `${sentence(policy.reason)}. `}
      {policy.tool !== tool.name && (
        <>
          It is about all of <code>{policy.tool}</code>.{" "}
        </>
      )}
      {policy.created_by && (
        <span className="muted">
          {policy.created_by}
          {policy.created_at && `, ${moment(policy.created_at, now)}`}
        </span>
      )}
    </p>
  );
}
/** A rule of an agent leads to that agent. */
function RuleName({ reference }: { reference: string }) {
  const agent = ruleRef(reference).id.match(/^agent:(.+)$/)?.[1];
  if (!agent) return <code>{reference}</code>;
  return (
    <Link to="/agents/$name" params={{ name: agent }} className="link">
      <code>{reference}</code>
    </Link>
  );
}
function Rule({ tool }: { tool: ToolDetail }) {
  const [editing, setEditing] = useState(false);
  const [withdrawing, setWithdrawing] = useState(false);
  const [proposed, setProposed] = useState<Proposed>();
  const queries = useQueryClient();
  const away = useAway();
  const { policy } = tool;
  const ref = ruleRef(policy.rule);
  const act = tool.actions.find((a) => a.verb === "policy");
  const own = ref.id === `tool:${tool.name}`;
  const version = own ? Number(ref.version) : 0;
  return (
    <>
      <section>
        <h3>
          {tool.switch.disabled ? "The rule once it is switched on" : "The rule that holds"}{" "}
          <span className="mono">{policy.rule}</span>
        </h3>
        <p>
          <Says tool={tool} />
        </p>
        <Source tool={tool} />
        {policy.also.length > 0 && (
          <p className="muted">
            {plural(policy.also.length, "rule")} about some agents or arguments may hold instead:{" "}
            {policy.also.map((r, i) => (
              <span key={r}>
                {i > 0 && ", "}
                <RuleName reference={r} />
              </span>
            ))}
          </p>
        )}
        {tool.note && <p className={classes.note}>{sentence(tool.note)}.</p>}
        <div className={classes.acts}>
          <Button small disabled={!act?.allowed || away} onClick={() => setEditing(true)}>
            Change the rule
          </Button>
          {own && (
            <Button look="quiet" small disabled={!act?.allowed || away} onClick={() => setWithdrawing(true)}>
              Withdraw it
            </Button>
          )}
        </div>
        {act && !act.allowed && (
          <p className={classes.why}>
            {sentence(act.reason ?? "")}. Administrators change rules and switches; they never decide approvals.
          </p>
        )}
        {proposed && <ProposedNote proposed={proposed} />}
      </section>
      <Proposals subject={{ noun: "tool", name: tool.name }} rule={ref.id} />
      {!ref.builtIn && <RulePast rule={ref.id} current={ref.version} />}
      {editing && (
        <RuleEditor
          subject={{ noun: "tool", name: tool.name }}
          title={tool.title}
          rule={policy}
          version={version}
          onClose={() => setEditing(false)}
        />
      )}
      {withdrawing && (
        <Confirm
          title={`Withdraw the rule for ${tool.title}?`}
          says="Another rule that fits holds then, or the built-in one. Where that asks for less, a second administrator must confirm it."
          verb="Withdraw"
          onClose={() => setWithdrawing(false)}
          onConfirm={async (reason, key) => {
            const answer = await q.policies.withdraw(ref.id, version, reason, key);
            if (isProposed(answer)) setProposed(answer);
            for (const noun of ["tools", "policies", "commands"]) void queries.invalidateQueries({ queryKey: [noun] });
          }}
        />
      )}
    </>
  );
}
function Facts({ tool }: { tool: ToolDetail }) {
  return (
    <section>
      <h3>How it runs</h3>
      <dl>
        <dt>Risk</dt>
        <dd>
          <RiskMark risk={tool.risk} />
        </dd>
        {tool.reach.length > 0 && (
          <>
            <dt>Reach</dt>
            <dd>{tool.reach.join(", ")}</dd>
          </>
        )}
        <dt>Can be undone</dt>
        <dd>{tool.undoable === null ? "its author does not say" : tool.undoable ? "yes" : "no"}</dd>
        <dt>Worker</dt>
        <dd>
          {tool.served === null ? "unknown" : tool.served ? `on ${tool.task_queue}` : `none on ${tool.task_queue}`}
        </dd>
        <dt>Time for a try</dt>
        <dd>{timeOf(tool.timeout_seconds)}</dd>
        <dt>Tries</dt>
        <dd>{tool.retries + 1}</dd>
        <dt>Idempotent</dt>
        <dd>{tool.idempotent ? "yes" : "no"}</dd>
        {tool.tags.length > 0 && (
          <>
            <dt>Tags</dt>
            <dd>{tool.tags.join(", ")}</dd>
          </>
        )}
        <dt>Version</dt>
        <dd className="mono">{tool.version}</dd>
      </dl>
    </section>
  );
}
/** One tool: the switch, the rule as a sentence and its past, how it runs, what it takes and gives. */
export function Panel({ name }: { name: string }) {
  const { data: tool, error, refetch } = useQuery(q.tools.one(name));
  if (error && !tool) return <Failed error={error} reset={() => void refetch()} />;
  if (!tool) return <Skeleton rows={8} />;
  return (
    <div className={classes.panel}>
      <header>
        <h2>{tool.title}</h2>
        <code className="cut">{tool.name}</code>
      </header>
      <p className={classes.desc}>{tool.description}</p>
      <KillSwitch key={`switch-${name}`} tool={tool} />
      <Rule key={`rule-${name}`} tool={tool} />
      <Used tool={tool} />
      <Facts tool={tool} />
      <details>
        <summary>What it takes</summary>
        <Json value={tool.input_schema} />
      </details>
      {tool.output_schema && (
        <details>
          <summary>What it gives</summary>
          <Json value={tool.output_schema} />
        </details>
      )}
    </div>
  );
}
