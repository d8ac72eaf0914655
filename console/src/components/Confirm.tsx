import { useState, type FormEvent, type ReactNode } from "react";
import { Button } from "./Button";
import classes from "./Confirm.module.css";
import { Dialog } from "./Dialog";
import { useKey } from "./useKey";
import { Text } from "./Text";

interface Props {
  title: string;
  text: string;
  /** The label of the button. */
  verb: string;
  danger?: boolean;
  /** Whether a reason must be given. */
  needsReason?: boolean;
  /** Hides the reason field. */
  reasonless?: boolean;
  onConfirm(reason: string | null, idempotencyKey: string): Promise<void>;
  onClose(): void;
  /** Fields above the reason. */
  children?: ReactNode;
  /** The content of those fields: if it changes, the request gets a new idempotency key. */
  content?: string;
}

/** Asks for confirmation before a change, and for the reason that goes into the audit log. Resending the same reason is idempotent. */
export function Confirm({
  title,
  text,
  verb,
  danger,
  needsReason,
  reasonless,
  onConfirm,
  onClose,
  children,
  content,
}: Props) {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const keyOf = useKey();
  async function submit(e: FormEvent) {
    e.preventDefault();
    if (busy) return;
    if (needsReason && !reason.trim()) return setFault("Give a reason: it goes into the audit log.");
    setBusy(true);
    setFault(undefined);
    try {
      const trimmed = reason.trim() || null;
      await onConfirm(trimmed, keyOf([trimmed, content]));
      onClose();
    } catch (error) {
      setFault((error as Error).message);
      setBusy(false);
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form className={classes.form} onSubmit={(e) => void submit(e)} aria-busy={busy}>
        <h2>
          <Text>{title}</Text>
        </h2>
        <p>
          <Text>{text}</Text>
        </p>
        {children}
        {!reasonless && (
          <label>
            <span>{needsReason ? "Reason" : "Reason (optional)"}</span>
            <textarea
              data-autofocus
              rows={2}
              maxLength={1000}
              value={reason}
              onChange={(e) => setReason(e.target.value)}
              placeholder="Kept in the audit log"
              aria-invalid={!!fault}
            />
          </label>
        )}
        {fault && (
          <p className={classes.fault} role="alert">
            <Text>{fault}</Text>
          </p>
        )}
        <footer>
          <Button onClick={onClose}>Back</Button>
          <Button type="submit" look="ink" danger={danger} disabled={busy}>
            {busy ? "Sending…" : verb}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
