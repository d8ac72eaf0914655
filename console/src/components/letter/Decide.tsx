import { Link } from "@tanstack/react-router";
import { Check, X } from "lucide-react";
import { useRef, useState } from "react";
import type { ApprovalDetail } from "../../api/client";
import { digestGroups, moment } from "../../format";
import { useKeys } from "../../live/keys";
import { Button } from "../Button";
import classes from "./Letter.module.css";
import type { Arguments } from "./schema";
import type { useDecision, Verdict } from "./useDecision";

interface Props {
  approval: ApprovalDetail;
  decision: ReturnType<typeof useDecision>;
  me: string | undefined;
  changed?: Arguments;
  /** The arguments whose typed JSON can't be read. */
  unread?: string[];
  away: boolean;
}
const VERDICTS: Record<string, string> = {
  approved: "approved this",
  rejected: "rejected this",
  expired: "",
  cancelled: "",
};

function Over({ approval, decision, me }: Pick<Props, "approval" | "decision" | "me">) {
  if (decision.stage === "sent") return <>Sent: {decision.sent?.verdict}. The run has not counted it yet.</>;
  const at = approval.closed_at ? ` at ${moment(approval.closed_at, undefined, true)}` : "";
  const run = (
    <Link to="/runs/$id" params={{ id: approval.run_id }} className="link">
      See the run go on
    </Link>
  );
  if (decision.stage === "counted")
    return (
      <>
        <Check size={15} aria-hidden /> Counted{at}: {approval.status} by you{approval.changed ? ", as edited" : ""}.{" "}
        {run}
      </>
    );
  if (approval.status === "expired")
    return (
      <>
        It expired{at}. Nothing was done. {run}
      </>
    );
  if (approval.status === "cancelled")
    return (
      <>
        It was cancelled{at}: its run does not wait any more. {run}
      </>
    );
  const who = approval.decided_by === me ? "You" : (approval.decided_by ?? "Somebody");
  return (
    <>
      {who} {VERDICTS[approval.status]}
      {at}
      {decision.sent ? ", before you: yours does not count." : "."} {run}
    </>
  );
}

/** The verdict: two buttons of equal weight. A key moves the focus, Enter decides: no letter alone ever does. */
export function Decide({ approval, decision, me, changed, unread = [], away }: Props) {
  const [comment, setComment] = useState("");
  const [need, setNeed] = useState(false);
  const [broken, setBroken] = useState(false);
  const pair = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLTextAreaElement>(null);
  const refused = approval.actions.find((a) => (a.verb === "approve" || a.verb === "reject") && !a.allowed)?.reason;
  const focus = (n: number) => pair.current?.querySelectorAll("button")[n]?.focus();
  useKeys({ a: () => focus(1), r: () => (comment.trim() ? focus(0) : box.current?.focus()) });
  function decide(verdict: Verdict) {
    if (verdict === "rejected" && !comment.trim()) {
      setNeed(true);
      box.current?.focus();
      return;
    }
    if (verdict === "approved" && unread.length) return setBroken(true);
    decision.decide(verdict, comment, verdict === "approved" ? changed : undefined);
  }
  if (decision.stage !== "open")
    return (
      <footer className={classes.decide} data-stage={decision.stage}>
        <p className={classes.done} role="status">
          <Over approval={approval} decision={decision} me={me} />
        </p>
      </footer>
    );
  if (refused)
    return (
      <footer className={classes.decide} data-stage="elsewhere">
        <p className={classes.done}>You can’t decide this: {refused}</p>
      </footer>
    );
  return (
    <footer className={classes.decide} data-stage="open">
      {decision.error && (
        <p className={classes.need} role="alert">
          {decision.error}
        </p>
      )}
      <label className={classes.comment}>
        <span className="visually-hidden">Comment</span>
        <textarea
          ref={box}
          rows={1}
          maxLength={1000}
          value={comment}
          onChange={(e) => {
            setComment(e.target.value);
            setNeed(false);
          }}
          placeholder={
            approval.agent ? "Comment: kept in the audit log, and shown to the agent" : "Comment: kept in the audit log"
          }
          aria-invalid={need || !!decision.faults.comment}
        />
      </label>
      {decision.faults.comment && <p className={classes.need}>{decision.faults.comment}</p>}
      {broken && unread.length > 0 && (
        <p className={classes.need} role="alert">
          Not sent: {unread.join(", ")} is no JSON.
        </p>
      )}
      {need && (
        <p className={classes.need} role="alert">
          Say why: a rejection needs a reason.
        </p>
      )}
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
          {changed ? "Approve as edited" : "Approve"}
        </Button>
      </div>
      <p className={classes.sign}>
        <span>
          You decide as <b>{me}</b>, signed, for good
        </span>{" "}
        <span className={classes.digest} title={approval.digest}>
          {changed ? "your edit makes a new digest" : digestGroups(approval.digest)}
        </span>
      </p>
    </footer>
  );
}
