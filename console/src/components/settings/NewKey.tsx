import { useInfiniteQuery } from "@tanstack/react-query";
import { type FormEvent, useId, useRef, useState } from "react";
import { ApiError } from "../../api/client";
import * as q from "../../api/queries";
import type { NewKey as Made, Proposed } from "../../api/queries/keys";
import { moment } from "../../format";
import { Button } from "../Button";
import { CopyButton } from "../CopyButton";
import { Dialog } from "../Dialog";
import { useCopy } from "../useCopy";
import classes from "./Settings.module.css";
import { Text } from "../Text";

const DAY = 86_400;
const LIFETIMES = [7, 30, 90, 365];

export function CreatedKey({ made, onClose }: { made: Made; onClose(): void }) {
  const copy = useCopy();
  return (
    <div className={classes.form}>
      <h2>
        API key of <Text>{made.principal}</Text>
      </h2>
      <p>Copy it now: it won’t be shown again. It expires {moment(made.expires_at)}.</p>
      {made.key ? (
        <p className={classes.secret}>
          <code ref={copy.ref} tabIndex={0}>
            {made.key}
          </code>
          <CopyButton text={made.key} of={copy} />
        </p>
      ) : (
        <p role="alert">It was created by an earlier request and can’t be shown again: revoke it and create another.</p>
      )}
      <footer>
        <Button look="ink" onClick={onClose}>
          I have copied it
        </Button>
      </footer>
    </div>
  );
}
const AwaitsConfirmation = ({ proposed, onClose }: { proposed: Proposed; onClose(): void }) => (
  <div className={classes.form}>
    <h2>A second administrator must confirm</h2>
    <p>
      Its owner decides approvals, so creating the key takes two administrators. The one who confirms by{" "}
      {moment(proposed.expires_at)} sees the key:
    </p>
    <code>agentgrid proposal confirm {proposed.command_id}</code>
    <footer>
      <Button look="ink" onClick={onClose}>
        Close
      </Button>
    </footer>
  </div>
);

interface Props {
  principal?: string;
  onMade(): void;
  onClose(): void;
}
/** Creates an API key. The secret is kept only in this dialog, until it closes. */
export function NewKey({ principal, onMade, onClose }: Props) {
  const id = useId();
  const { data } = useInfiniteQuery(q.principals.pages());
  const [owner, setOwner] = useState(principal ?? "");
  const [note, setNote] = useState("");
  const [days, setDays] = useState(90);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const [made, setMade] = useState<Made | Proposed>();
  const key = useRef(crypto.randomUUID());
  const names = data?.pages.flatMap((p) => p.items.filter((x) => !x.disabled).map((x) => x.name)) ?? [];
  async function submit(e: FormEvent) {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    setFault(undefined);
    try {
      setMade(
        await q.keys.create({ principal: owner.trim(), note: note.trim(), lifetime_seconds: days * DAY }, key.current),
      );
      onMade();
    } catch (error) {
      setFault((error as Error).message);
      // A refused request created nothing, so the next attempt is a new request. A request without a response may have created the key.
      if (error instanceof ApiError && error.status < 500) key.current = crypto.randomUUID();
      setBusy(false);
    }
  }
  return (
    <Dialog title="New API key" onClose={() => !made && onClose()}>
      {made ? (
        "confirm" in made ? (
          <AwaitsConfirmation proposed={made} onClose={onClose} />
        ) : (
          <CreatedKey made={made} onClose={onClose} />
        )
      ) : (
        <form className={classes.form} onSubmit={(e) => void submit(e)} aria-busy={busy}>
          <h2>New API key</h2>
          <label>
            <span>Owner</span>
            <input
              data-autofocus
              required
              list={id}
              value={owner}
              onChange={(e) => setOwner(e.target.value)}
              maxLength={255}
              autoComplete="off"
            />
            <datalist id={id}>
              {names.map((n) => (
                <option key={n} value={n} />
              ))}
            </datalist>
          </label>
          <label>
            <span>Purpose</span>
            <input
              value={note}
              onChange={(e) => setNote(e.target.value)}
              maxLength={1000}
              placeholder="Kept with the key and in the audit log"
            />
          </label>
          <label>
            <span>Expires after</span>
            <select value={days} onChange={(e) => setDays(Number(e.target.value))}>
              {LIFETIMES.map((n) => (
                <option key={n} value={n}>
                  {n} days
                </option>
              ))}
            </select>
          </label>
          {fault && (
            <p role="alert" className={classes.fault}>
              {fault}
            </p>
          )}
          <footer>
            <Button onClick={onClose}>Back</Button>
            <Button type="submit" look="ink" disabled={busy || !owner.trim()}>
              {busy ? "Creating…" : "Create key"}
            </Button>
          </footer>
        </form>
      )}
    </Dialog>
  );
}
