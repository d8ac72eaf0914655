import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { ApiError } from "../api/client";
import * as q from "../api/queries";
import { isProposed, type Proposed, type RuleBody, type Subject } from "../api/queries/policies";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import classes from "./Form.module.css";
import { ProposedNote } from "./Proposals";
import type { Effect, RuleText } from "./rules";
import { useKey } from "./useKey";

const EFFECTS: Record<Effect, [string, string]> = {
  allow: ["Allow", "Calls pass unasked."],
  require_approval: ["Ask", "Each call waits until a person has approved it."],
  deny: ["Deny", "Each call fails, and is not tried again."],
};
const UNITS = { minutes: 60, hours: 3600, days: 86_400 } as const;
type Unit = keyof typeof UNITS;
const unitOf = (seconds: number): Unit =>
  seconds % UNITS.days === 0 ? "days" : seconds % UNITS.hours === 0 ? "hours" : "minutes";

interface Props {
  subject: Subject;
  title: string;
  /** The rule that holds, to begin from. */
  rule: RuleText;
  /** The version of the subject's own rule that is shown; 0 if it has none. */
  version: number;
  onClose(): void;
}
/** Put a tool's or an agent's own rule. Where it asks for less than before, a second administrator must confirm it. */
export function RuleEditor({ subject, title, rule, version, onClose }: Props) {
  const [effect, setEffect] = useState(rule.effect);
  const [approvers, setApprovers] = useState(rule.approvers.join(", "));
  const [unit, setUnit] = useState(unitOf(rule.expires_seconds));
  const [time, setTime] = useState(String(rule.expires_seconds / UNITS[unitOf(rule.expires_seconds)]));
  const [two, setTwo] = useState(rule.changes === "second_person");
  const [words, setWords] = useState(version ? rule.title : "");
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Error>();
  const [proposed, setProposed] = useState<Proposed>();
  // What is read again meanwhile is not what the form began from.
  const [seen] = useState(version);
  const key = useKey();
  const queries = useQueryClient();
  async function submit(e: FormEvent) {
    e.preventDefault();
    if (busy) return;
    if (!reason.trim()) return setFault(new Error("Say why: approvers and the audit log read it."));
    const body: RuleBody = {
      effect,
      approvers: approvers
        .split(/[,\n]/)
        .map((a) => a.trim())
        .filter(Boolean),
      expires_seconds: Number(time) * UNITS[unit],
      changes: two ? "second_person" : "one_person",
      reason: reason.trim(),
      title: words.trim(),
      expected_version: seen,
    };
    setBusy(true);
    setFault(undefined);
    try {
      const answer = await q.policies.put(subject, body, key(body));
      if (isProposed(answer)) setProposed(answer);
      else onClose();
    } catch (error) {
      setFault(error as Error);
    } finally {
      for (const noun of ["tools", "agents", "policies", "commands"])
        void queries.invalidateQueries({ queryKey: [noun] });
      setBusy(false);
    }
  }
  const faultAt = (field: string) =>
    fault instanceof ApiError
      ? fault.problem.faults?.find((f) => f.pointer.startsWith(`/${field}`))?.message
      : undefined;
  if (proposed)
    return (
      <Dialog title="Proposed" onClose={onClose} wide>
        <ProposedNote proposed={proposed} />
        <footer className={classes.foot}>
          <Button data-autofocus onClick={onClose}>
            Close
          </Button>
        </footer>
      </Dialog>
    );
  const stale = fault instanceof ApiError && fault.status === 409;
  const asks = effect === "require_approval";
  return (
    <Dialog title={`The rule for ${title}`} onClose={onClose} wide>
      <form className={classes.form} onSubmit={(e) => void submit(e)} aria-busy={busy}>
        <h2>The rule for {title}</h2>
        <fieldset className={classes.choice}>
          <legend>A call of {subject.noun === "agent" ? "a tool by this agent" : "this tool"}</legend>
          {(Object.keys(EFFECTS) as Effect[]).map((x) => (
            <label key={x} data-on={x === effect || undefined}>
              <input type="radio" name="effect" checked={x === effect} onChange={() => setEffect(x)} />
              <b>{EFFECTS[x][0]}</b>
              <span>{EFFECTS[x][1]}</span>
            </label>
          ))}
        </fieldset>
        {asks && (
          <>
            <label>
              <span>Who may approve</span>
              <input
                value={approvers}
                onChange={(e) => setApprovers(e.target.value)}
                aria-invalid={!!faultAt("approvers")}
                spellCheck={false}
              />
              <i>{faultAt("approvers") ?? "People and groups by name, with commas; role:approver is any approver."}</i>
            </label>
            <div className={classes.pair}>
              <label>
                <span>They have</span>
                <input
                  type="number"
                  min={1}
                  step="any"
                  required
                  value={time}
                  onChange={(e) => setTime(e.target.value)}
                  aria-invalid={!!faultAt("expires_seconds")}
                />
              </label>
              <label>
                <span>Unit</span>
                <select value={unit} onChange={(e) => setUnit(e.target.value as Unit)}>
                  {Object.keys(UNITS).map((u) => (
                    <option key={u}>{u}</option>
                  ))}
                </select>
              </label>
            </div>
            {faultAt("expires_seconds") && <p className={classes.fault}>{faultAt("expires_seconds")}</p>}
            <label className={classes.check}>
              <input type="checkbox" checked={two} onChange={(e) => setTwo(e.target.checked)} />
              <span>Changed arguments take two approvers: one proposes them, another approves exactly these</span>
            </label>
          </>
        )}
        <label>
          <span>Title</span>
          <input
            maxLength={120}
            value={words}
            onChange={(e) => setWords(e.target.value)}
            placeholder="What it says, in a few words for approvers"
            aria-invalid={!!faultAt("title")}
          />
          {faultAt("title") && <i>{faultAt("title")}</i>}
        </label>
        <label>
          <span>Reason</span>
          <textarea
            rows={2}
            maxLength={4000}
            value={reason}
            onChange={(e) => setReason(e.target.value)}
            aria-invalid={!!faultAt("reason")}
            placeholder="Approvers read it with each call; kept in the audit log"
          />
        </label>
        <p className={classes.fine}>
          It holds within seconds, for the next call, in open runs too. A change that asks for less than before is only
          proposed: a second administrator must confirm it, if there is one.
        </p>
        {fault && (
          <p className={classes.fault} role="alert">
            {fault.message}
            {stale && " Close this, read the rule that holds now, and begin from that."}
          </p>
        )}
        <footer className={classes.foot}>
          <Button onClick={onClose}>Back</Button>
          <Button type="submit" look="ink" danger={false} disabled={busy}>
            {busy ? "Sending…" : "Put the rule"}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
