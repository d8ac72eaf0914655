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

/** Shown after a change that relaxes a rule: nothing has changed yet, and a second administrator must confirm it. */
export function ProposedNote({ proposed }: { proposed: Proposed }) {
  const now = useNow();
  return (
    <div className={classes.proposed} role="status">
      <h2>
        <Hourglass size={15} aria-hidden />
        Proposed. Nothing has changed yet
      </h2>
      <p>
        The change relaxes the current rule, so a second administrator must confirm it by{" "}
        <b>{moment(proposed.expires_at, now)}</b>. Until then the current rule applies.
      </p>
      <p className={classes.fine}>
        They can confirm it here, or with <code>agentgrid proposal confirm {proposed.command_id}</code>
      </p>
    </div>
  );
}
/** Rule changes that wait for a second administrator, with the actions this user may take. */
export function Proposals({ subject, rule }: { subject: Subject; rule?: string }) {
  const { data: me } = useQuery(q.me.me());
  const { data } = useQuery(q.policies.proposals());
  const [dialog, setDialog] = useState<{ command: Command; how: "confirm" | "withdraw" }>();
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
            <Hourglass size={14} aria-hidden />A change is waiting for a second administrator
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
            <Button small disabled={!may} onClick={() => setDialog({ command: c, how: "withdraw" })}>
              Withdraw
            </Button>
            {c.principal !== me?.name && (
              <Button small disabled={!may} onClick={() => setDialog({ command: c, how: "confirm" })}>
                Confirm
              </Button>
            )}
          </footer>
        </div>
      ))}
      {dialog && (
        <Confirm
          title={dialog.how === "confirm" ? "Confirm this change?" : "Withdraw this proposal?"}
          text={
            dialog.how === "confirm"
              ? `${dialog.command.principal} proposed it. Once confirmed, it applies within seconds.`
              : "The rule stays as it is."
          }
          verb={dialog.how === "confirm" ? "Confirm" : "Withdraw"}
          onClose={() => setDialog(undefined)}
          onConfirm={async (reason, key) => {
            await q.policies.settle(dialog.command.command_id, dialog.how, reason, key);
            for (const noun of ["tools", "agents", "policies", "commands"])
              void queries.invalidateQueries({ queryKey: [noun] });
          }}
        />
      )}
    </section>
  );
}
const EFFECT: Record<string, string> = { allow: "to allow", require_approval: "to require approval", deny: "to deny" };
