import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { AgentDetail } from "../../api/client";
import * as q from "../../api/queries";
import { isProposed, ruleId, type Proposed } from "../../api/queries/policies";
import classes from "../../screens/Agent.module.css";
import { moment, sentence } from "../../format";
import { useNow } from "../../live/now";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { Proposals, ProposedNote } from "../Proposals";
import { RuleEditor } from "../RuleEditor";
import { ruleWord } from "../rules";
import { Failed, Skeleton, useAway } from "../States";
import { Text } from "../Text";
import { Why } from "../Why";

/** A new rule's defaults: any approver, for a week. */
const NEW = {
  effect: "require_approval",
  approvers: ["role:approver"],
  expires_seconds: 7 * 86_400,
  changes: "one_person",
  title: "",
} as const;

/** The rules that name this agent, for all its calls or for some. */
export function Rules({ agent }: { agent: AgentDetail }) {
  const subject = { noun: "agent", name: agent.name } as const;
  const { data, error, isPending, refetch } = useQuery(q.policies.about(subject));
  const [dialog, setDialog] = useState<"put" | "withdraw">();
  const [proposed, setProposed] = useState<Proposed>();
  const queries = useQueryClient();
  const now = useNow();
  const away = useAway();
  const act = agent.actions.find((a) => a.verb === "policy");
  const own = data?.items.find((r) => r.rule_id === ruleId(subject));
  const may = act?.allowed && !away;
  return (
    <div className={classes.rules}>
      {error && !data ? (
        <Failed error={error} reset={() => void refetch()} />
      ) : isPending ? (
        <Skeleton rows={2} />
      ) : data.items.length === 0 ? (
        <p>No rule names this agent: the tools’ rules apply to its calls.</p>
      ) : (
        <ul>
          {data.items.map((r) => (
            <li key={r.rule_id}>
              {r.rule_id === ruleId(subject) ? (
                "All its calls"
              ) : (
                <code>
                  <Text>{r.tool}</Text>
                </code>
              )}
              :{" "}
              <b>
                <Text>{ruleWord(r)}</Text>
              </b>
              {r.when.length > 0 && (
                <>
                  {" "}
                  where{" "}
                  {r.when.map((w, i) => (
                    <span key={i}>
                      {i > 0 && " and "}
                      <code>
                        <Text>{`${w.argument} ${w.op} ${JSON.stringify(w.value)}`}</Text>
                      </code>
                    </span>
                  ))}
                </>
              )}
              . <Why title={r.title} reason={r.reason} />
              <p>
                <span className="mono">
                  <Text>{`${r.rule_id}@${r.version}`}</Text>
                </span>
                , <Text>{r.created_by}</Text>, {moment(r.created_at, now)}
              </p>
            </li>
          ))}
        </ul>
      )}
      <Proposals subject={subject} rule={ruleId(subject)} />
      {proposed && <ProposedNote proposed={proposed} />}
      <footer>
        <Button small disabled={!may} title={act?.reason ?? undefined} onClick={() => setDialog("put")}>
          {own ? "Edit rule" : "Add rule"}
        </Button>
        {own && (
          <Button look="quiet" small disabled={!may} onClick={() => setDialog("withdraw")}>
            Withdraw
          </Button>
        )}
      </footer>
      {act && !act.allowed && <p>{sentence(act.reason ?? "")}.</p>}
      {dialog === "put" && (
        <RuleEditor
          subject={subject}
          title={agent.title}
          rule={own ?? { ...NEW, approvers: [...NEW.approvers] }}
          version={own?.version ?? 0}
          onClose={() => setDialog(undefined)}
        />
      )}
      {dialog === "withdraw" && own && (
        <Confirm
          title={`Withdraw the rule for ${agent.title}?`}
          text="The tools’ rules then apply. If they are less strict, a second administrator must confirm this."
          verb="Withdraw"
          onClose={() => setDialog(undefined)}
          onConfirm={async (reason, key) => {
            const answer = await q.policies.withdraw(ruleId(subject), own.version, reason, key);
            if (isProposed(answer)) setProposed(answer);
            for (const noun of ["agents", "policies", "commands"]) void queries.invalidateQueries({ queryKey: [noun] });
          }}
        />
      )}
    </div>
  );
}
