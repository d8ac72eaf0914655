import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { ApiError } from "../api/client";
import * as q from "../api/queries";
import { isProposed, type Proposed, type RuleBody, type Subject } from "../api/queries/policies";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import classes from "./Form.module.css";
import { ProposedNote } from "./Proposals";
import { RuleFields } from "./RuleFields";
import { Newer, RulePreview } from "./RulePreview";
import { contentOf, draftOf, ruleRef, type RuleDraft, type RuleText } from "./rules";
import { useKey } from "./useKey";
import { Text } from "./Text";

/** The rule's current version, from the error of a change that was based on an older one. */
const versionOf = (error: ApiError) => Number(ruleRef(error.problem.current_status ?? "").version);

interface Props {
  subject: Subject;
  title: string;
  /** The current rule, to start from. */
  rule: RuleText;
  /** The version of the subject's own rule that is shown; 0 if it has none. */
  version: number;
  onClose(): void;
}
/** Edits a tool's or an agent's own rule. If the change relaxes it, a second administrator must confirm. */
export function RuleEditor({ subject, title, rule, version, onClose }: Props) {
  const [draft, setDraft] = useState(() => draftOf(rule));
  const set = (change: Partial<RuleDraft>) => setDraft((old) => ({ ...old, ...change }));
  const [words, setWords] = useState(version ? rule.title : "");
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Error>();
  const [proposed, setProposed] = useState<Proposed>();
  // Data that is refetched meanwhile isn't what the form started from.
  const [seen, setSeen] = useState(version);
  const key = useKey();
  const queries = useQueryClient();
  async function submit(e: FormEvent) {
    e.preventDefault();
    if (busy) return;
    if (!reason.trim()) return setFault(new Error("Give a reason: approvers see it, and it goes into the audit log."));
    const body: RuleBody = {
      ...contentOf(draft),
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
  const newer = fault instanceof ApiError && fault.status === 409 && versionOf(fault);
  return (
    <Dialog title={`Rule for ${title}`} onClose={onClose} wide>
      <form className={classes.form} onSubmit={(e) => void submit(e)} aria-busy={busy}>
        <h2>
          Rule for <Text>{title}</Text>
        </h2>
        <RuleFields noun={subject.noun} draft={draft} set={set} faultAt={faultAt} />
        <label>
          <span>Title</span>
          <input
            maxLength={120}
            value={words}
            onChange={(e) => setWords(e.target.value)}
            placeholder="A short summary for approvers"
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
            placeholder="Shown to approvers with each call; kept in the audit log"
          />
        </label>
        <RulePreview subject={subject} draft={draft} />
        {newer ? (
          <Newer
            subject={subject}
            onKeep={() => {
              setSeen(newer);
              setFault(undefined);
            }}
          />
        ) : (
          fault && (
            <p className={classes.fault} role="alert">
              {fault.message}
            </p>
          )
        )}
        <footer className={classes.foot}>
          <Button onClick={onClose}>Back</Button>
          <Button type="submit" look="ink" disabled={busy || !!newer}>
            {busy ? "Sending…" : "Save rule"}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
