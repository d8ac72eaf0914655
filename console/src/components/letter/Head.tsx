import { Bot, Workflow } from "lucide-react";
import { useEffect, useRef } from "react";
import type { ApprovalDetail } from "../../api/client";
import { agentTitle, flowTitle, moment } from "../../format";
import { RISK, RiskMark } from "../../status";
import { Expiry } from "../Bits";
import { approversOf } from "../rules";
import { Text } from "../Text";
import classes from "./Letter.module.css";

/** Who asks whom for what, at what risk, and until when. */
export function Head({
  approval,
  focus,
}: {
  approval: ApprovalDetail;
  /** It replaces another letter: a screen reader continues here. */
  focus?: boolean;
}) {
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (focus) title.current?.focus({ preventScroll: true });
  }, []);
  const Who = approval.agent ? Bot : Workflow;
  const { risk } = approval;
  return (
    <header className={classes.head}>
      <p className={classes.from}>
        <span className={classes.face}>
          <Who size={15} aria-hidden />
        </span>
        <span>
          <b>
            <Text>{approval.agent ? agentTitle(approval) : flowTitle(approval)}</Text>
          </b>
          {approval.agent ? ", an agent, asks for approval" : ", a workflow, asks for approval"}
          <span className="muted">
            <span className={classes.to}>
              {" "}
              from <Text>{approversOf(approval.approvers)}</Text>
            </span>
            {" · "}
            {moment(approval.opened_at)}
          </span>
        </span>
      </p>
      <h2 ref={title} tabIndex={-1}>
        <Text>{approval.title}</Text>
      </h2>
      <p className={classes.facts}>
        {risk && (
          <>
            <RiskMark risk={risk} />
            {approval.undoable === false && <span>Can’t be undone</span>}
            {approval.reach.map((r) => (
              <span key={r}>
                <Text>{r}</Text>
              </span>
            ))}
            {approval.undoable === null && !approval.reach.length && <span>{RISK[risk].text}</span>}
          </>
        )}
        {approval.expires_at && approval.status === "pending" && (
          <span className={classes.until}>
            <Expiry from={approval.opened_at} until={approval.expires_at} />
          </span>
        )}
      </p>
    </header>
  );
}
