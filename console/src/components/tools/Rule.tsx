import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { ToolDetail } from "../../api/client";
import * as q from "../../api/queries";
import { isProposed, type Proposed } from "../../api/queries/policies";
import { moment, plural, sentence } from "../../format";
import { useNow } from "../../live/now";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { ProposedNote, Proposals } from "../Proposals";
import { RuleEditor } from "../RuleEditor";
import { approversOf, ruleRef, timeOf } from "../rules";
import { useAway } from "../States";
import classes from "./Panel.module.css";
import { RulePast } from "./RulePast";
import { Text } from "../Text";
import { Why } from "../Why";

/** The effect of the rule, as a sentence. */
function EffectSentence({ tool }: { tool: ToolDetail }) {
  const { effect, approvers, expires_seconds, changes } = tool.policy;
  if (effect === "deny") return <>All calls are denied.</>;
  if (effect === "allow")
    return (
      <>
        Calls pass <b>without approval</b>.
      </>
    );
  return (
    <>
      Each call needs approval from{" "}
      <b>
        <Text>{approversOf(approvers)}</Text>
      </b>{" "}
      and waits at most <b>{timeOf(expires_seconds)}</b>.
      {changes === "second_person" && " Changed arguments need two approvers."}
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
        The built-in rule for {tool.risk === "destructive" ? "destructive tools" : `tools that ${tool.risk}`}; no other
        rule is set.
      </p>
    );
  return (
    <p>
      <Why title={policy.title} reason={policy.reason} />
      {policy.tool !== tool.name && (
        <>
          It applies to all of{" "}
          <code>
            <Text>{policy.tool}</Text>
          </code>
          .{" "}
        </>
      )}
      {policy.created_by && (
        <span className="muted">
          <Text>{policy.created_by}</Text>
          {policy.created_at && `, ${moment(policy.created_at, now)}`}
        </span>
      )}
    </p>
  );
}
/** The name of a rule; an agent's rule links to that agent. */
function RuleName({ reference }: { reference: string }) {
  const agent = ruleRef(reference).id.match(/^agent:(.+)$/)?.[1];
  if (!agent)
    return (
      <code>
        <Text>{reference}</Text>
      </code>
    );
  return (
    <Link to="/agents/$name" params={{ name: agent }} className="link">
      <code>
        <Text>{reference}</Text>
      </code>
    </Link>
  );
}
/** The current rule of a tool, its earlier versions, and the buttons to change it. */
export function Rule({ tool }: { tool: ToolDetail }) {
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
          {tool.switch.disabled ? "Rule once it is switched on" : "Current rule"}{" "}
          <span className="mono">
            <Text>{policy.rule}</Text>
          </span>
        </h3>
        <p>
          <EffectSentence tool={tool} />
        </p>
        <Source tool={tool} />
        {policy.also.length > 0 && (
          <p className="muted">
            {plural(policy.also.length, "rule")} for certain agents or arguments may apply instead:{" "}
            {policy.also.map((r, i) => (
              <span key={r}>
                {i > 0 && ", "}
                <RuleName reference={r} />
              </span>
            ))}
          </p>
        )}
        {tool.note && (
          <p className={classes.note}>
            <Text>{sentence(tool.note)}</Text>.
          </p>
        )}
        <div className={classes.acts}>
          <Button small disabled={!act?.allowed || away} onClick={() => setEditing(true)}>
            Edit rule
          </Button>
          {own && (
            <Button look="quiet" small disabled={!act?.allowed || away} onClick={() => setWithdrawing(true)}>
              Withdraw
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
          text="Another matching rule then applies, or the built-in one. If it is less strict, a second administrator must confirm this."
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
