import { Link } from "@tanstack/react-router";
import { Check, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import type { ApprovalDetail } from "../../api/client";
import { atMoment, digestGroups } from "../../format";
import { useKeys } from "../../live/keys";
import { useNow } from "../../live/now";
import { Button } from "../Button";
import { Text } from "../Text";
import classes from "./Letter.module.css";
import type { Arguments } from "./schema";
import type { useDecision, Verdict } from "./useDecision";

interface Props {
  approval: ApprovalDetail;
  decision: ReturnType<typeof useDecision>;
  me: string | undefined;
  changed?: Arguments;
  /** The labels of the arguments whose typed value can't be parsed. */
  unread?: string[];
  away: boolean;
  /** On the run's page: hides the link to the run. */
  inRun?: boolean;
}
const VERDICTS = { approved: "approved this", rejected: "rejected this" };

/** The outcome as a sentence; nothing while it is open. */
function Outcome({ approval, decision, me, inRun }: Pick<Props, "approval" | "decision" | "me" | "inRun">) {
  const { stage, sent } = decision;
  const { status } = approval;
  if (stage === "open")
    return decision.proposed ? <>Proposed. Another approver must approve exactly these arguments.</> : null;
  if (stage === "sending") return <>Sending: {sent?.verdict}.</>;
  if (stage === "sent") return <>Sent: {sent?.verdict}. The run has not counted it yet.</>;
  const at = approval.closed_at ? ` ${atMoment(approval.closed_at, undefined, true)}` : "";
  const run = !inRun && (
    <Link to="/runs/$id" params={{ id: approval.run_id }} className="link">
      View run
    </Link>
  );
  if (stage === "counted")
    return (
      <>
        <Check size={15} aria-hidden />
        <span>
          Counted{at}: {status} by you{approval.changed && ", as edited"}. {run}
        </span>
      </>
    );
  const yours = sent ? " Yours came later and doesn’t count." : "";
  if (status === "expired")
    return (
      <span>
        It expired{at}. Nothing was done.{yours} {run}
      </span>
    );
  if (status === "cancelled")
    return (
      <span>
        It was cancelled{at}: its run no longer waits for it.{yours} {run}
      </span>
    );
  const who = <Text>{approval.decided_by === me ? "You" : (approval.decided_by ?? "Someone")}</Text>;
  const what = status === "pending" ? "" : VERDICTS[status];
  return (
    <span>
      {sent && <>Superseded by {who}: </>}
      {who} {what}
      {at}
      {sent ? ", before you. Yours doesn’t count." : "."} {run}
    </span>
  );
}
function wordOf(approval: ApprovalDetail, changed: Arguments | undefined, me: string | undefined) {
  if (!changed) return "Approve";
  if (approval.changes !== "second_person") return "Approve as edited";
  const exactly = JSON.stringify(changed);
  const theirs = approval.proposals.find((p) => p.principal !== me && JSON.stringify(p.arguments) === exactly);
  return theirs ? `Approve as ${theirs.principal} proposes` : "Propose this change";
}

/** The verdict: two buttons of equal weight. A letter key only moves the focus; Enter decides. */
export function Decide({ approval, decision, me, changed, unread = [], away, inRun }: Props) {
  const [comment, setComment] = useState("");
  const [need, setNeed] = useState(false);
  const [broken, setBroken] = useState(false);
  const now = useNow();
  const pair = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const outcome = useRef<HTMLParagraphElement>(null);
  const open = decision.stage === "open";
  const refused = approval.actions.find((a) => (a.verb === "approve" || a.verb === "reject") && !a.allowed);
  const late = !!approval.expires_at && Date.parse(approval.expires_at) <= now;
  const form = open && !refused && !late;
  const focus = (n: number) => pair.current?.querySelectorAll("button")[n]?.focus();
  const askWhy = () => {
    setNeed(true);
    box.current?.focus();
  };
  useKeys({ a: () => focus(1), r: () => (comment.trim() ? focus(0) : askWhy()) });
  useEffect(() => {
    // The focused button is gone: move the focus to the outcome.
    if (!open && document.activeElement === document.body) outcome.current?.focus({ preventScroll: true });
  }, [open]);
  function decide(verdict: Verdict) {
    if (verdict === "rejected" && !comment.trim()) return askWhy();
    if (verdict === "approved" && unread.length) return setBroken(true);
    decision.decide(verdict, comment, verdict === "approved" ? changed : undefined);
  }
  const alert = form
    ? (decision.error ??
      (need ? "Give a reason: a rejection needs one." : undefined) ??
      (broken && unread.length ? `Not sent: the value typed for ${unread.join(", ")} is invalid.` : undefined))
    : undefined;
  return (
    <footer className={classes.decide} data-stage={refused ? "elsewhere" : decision.stage}>
      <p className={classes.done} role="status" tabIndex={-1} ref={outcome}>
        <Outcome approval={approval} decision={decision} me={me} inRun={inRun} />
      </p>
      {open && !form && (
        <p className={classes.cant}>
          <Text>
            {late
              ? "It has expired; nothing will be done."
              : ["You can’t decide this", refused?.reason].filter(Boolean).join(": ")}
          </Text>
        </p>
      )}
      {alert && (
        <p className={classes.need} role="alert">
          {alert}
        </p>
      )}
      {form && (
        <>
          <label className={classes.comment}>
            <span className="visually-hidden">Comment</span>
            <textarea
              ref={box}
              rows={1}
              maxLength={2000}
              value={comment}
              onChange={(e) => {
                setComment(e.target.value);
                setNeed(false);
              }}
              placeholder={`Comment, for the audit log${approval.agent ? " and the agent" : ""}`}
              aria-invalid={need || !!decision.faults.comment}
            />
          </label>
          {decision.faults.comment && <p className={classes.need}>{decision.faults.comment}</p>}
          <div className={classes.pair} ref={pair}>
            <Button
              look="verdict"
              icon={<X size={15} strokeWidth={2.2} aria-hidden />}
              keys="R"
              disabled={away}
              onClick={() => decide("rejected")}
            >
              Reject
            </Button>
            <Button
              look="verdict"
              icon={<Check size={15} strokeWidth={2.2} aria-hidden />}
              keys="A"
              disabled={away}
              onClick={() => decide("approved")}
            >
              <Text>{wordOf(approval, changed, me)}</Text>
            </Button>
          </div>
          <p className={classes.sign}>
            <span>
              You decide as <b>{me}</b>, signed and final
            </span>{" "}
            <span className={classes.digest} title={approval.digest}>
              {changed ? "your edit changes the digest" : digestGroups(approval.digest)}
            </span>
          </p>
        </>
      )}
    </footer>
  );
}
