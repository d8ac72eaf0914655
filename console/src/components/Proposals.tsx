import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Hourglass } from "lucide-react";
import { useState } from "react";
import * as q from "../api/queries";
import type { Command, Proposed, Subject } from "../api/queries/policies";
import { moment, sentence } from "../format";
import { useNow } from "../live/now";
import { Ident } from "./Bits";
import { Button } from "./Button";
import { Confirm } from "./Confirm";
import classes from "./Form.module.css";
import { useAway } from "./States";
import { Text } from "./Text";

/** The answer to a change that relaxes a rule: nothing has changed, and who must do what until when. */
export function ProposedNote({ proposed }: { proposed: Proposed }) {
  const now = useNow();
  return (
    <div className={classes.proposed} role="status">
      <h2>
        <Hourglass size={15} aria-hidden />
        Proposed. Nothing has changed yet
      </h2>
      <p>
        The change asks for less than the rule that holds, so a second administrator must confirm it, until{" "}
        <b>{moment(proposed.expires_at, now)}</b>. Until then the rule holds as it is.
      </p>
      <p className={classes.fine}>
        They find it here, or confirm with <code>agentgrid proposal confirm {proposed.command_id}</code>
      </p>
    </div>
  );
}
/** Changes of a rule that wait for a second administrator, with what this reader may do about them. */
export function Proposals({ subject, rule }: { subject: Subject; rule?: string }) {
  const { data: me } = useQuery(q.me.me());
  const { data } = useQuery(q.policies.proposals());
  const [asked, setAsked] = useState<{ command: Command; how: "confirm" | "withdraw" }>();
  const now = useNow();
  const away = useAway();
  const queries = useQueryClient();
  const rules = [q.policies.ruleId(subject), rule];
  const about = (c: Command) =>
    c.kind.startsWith("policy.")
      ? rules.includes(c.target ?? "")
      : c.kind === `${subject.noun}.policy` && c.target === subject.name;
  const waiting = data?.items.filter(about) ?? [];
  const may = me?.permissions.includes("administer") && !away;
  if (!waiting.length) return null;
  return (
    <section className={classes.waiting}>
      {waiting.map((c) => (
        <div key={c.command_id}>
          <h3>
            <Hourglass size={14} aria-hidden />A change waits for a second administrator
          </h3>
          <p>
            <b>
              <Text>{c.principal}</Text>
            </b>{" "}
            proposed{" "}
            {c.kind === "policy.withdraw" ? (
              "to withdraw the rule"
            ) : c.what ? (
              <b>{EFFECT[c.what] ?? c.what}</b>
            ) : (
              "a rule"
            )}
            , {moment(c.created_at, now)}.{" "}
            {c.reason && (
              <>
                <Text>{sentence(c.reason)}</Text>.{" "}
              </>
            )}
            Nothing has changed yet.
          </p>
          <footer>
            <Ident id={c.command_id} />
            <span />
            <Button small disabled={!may} onClick={() => setAsked({ command: c, how: "withdraw" })}>
              Withdraw
            </Button>
            {c.principal !== me?.name && (
              <Button small disabled={!may} onClick={() => setAsked({ command: c, how: "confirm" })}>
                Confirm
              </Button>
            )}
          </footer>
        </div>
      ))}
      {asked && (
        <Confirm
          title={asked.how === "confirm" ? "Confirm this change?" : "Withdraw this proposal?"}
          says={
            asked.how === "confirm"
              ? `${asked.command.principal} proposed it. Confirmed, it holds within seconds.`
              : "The rule stays as it is."
          }
          verb={asked.how === "confirm" ? "Confirm" : "Withdraw"}
          onClose={() => setAsked(undefined)}
          onConfirm={async (reason, key) => {
            await q.policies.settle(asked.command.command_id, asked.how, reason, key);
            for (const noun of ["tools", "agents", "policies", "commands"])
              void queries.invalidateQueries({ queryKey: [noun] });
          }}
        />
      )}
    </section>
  );
}
const EFFECT: Record<string, string> = { allow: "to allow", require_approval: "to ask", deny: "to deny" };
