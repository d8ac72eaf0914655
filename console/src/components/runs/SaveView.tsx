import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiError, type View } from "../../api/client";
import * as q from "../../api/queries";
import { moment } from "../../format";
import { type Values, viewName } from "../../runs";
import { Button } from "../Button";
import { Dialog } from "../Dialog";
import classes from "../Form.module.css";
import { Text } from "../Text";
import { useKey } from "../useKey";

interface Props {
  values: Values;
  /** The view to replace; without it a new one is saved. */
  view?: View;
  /** Change only its title, not its filter. */
  rename?: boolean;
  mayShare: boolean;
  onSaved(view: View): void;
  onClose(): void;
}

/** Saves the filter as a view, or replaces or renames one. Someone else's changes are never overwritten without a warning. */
export function SaveView({ values, view, rename, mayShare, onSaved, onClose }: Props) {
  const [title, setTitle] = useState(view?.title ?? "");
  const [shared, setShared] = useState(view?.shared ?? false);
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const [theirs, setTheirs] = useState<View>();
  const queries = useQueryClient();
  const key = useKey();
  const name = view?.name ?? viewName(title);

  async function conflict() {
    const { items } = await queries.fetchQuery({ ...q.views.list(), staleTime: 0 });
    const now = items.find((v) => v.name === name && v.shared === shared);
    if (view && now) setTheirs(now);
    else if (view) setFault("This view was deleted. Save your filter as a new view.");
    else
      setFault(
        now ? "A view with this name already exists. Choose another title." : "It was changed meanwhile. Try again.",
      );
  }
  async function save(over?: View) {
    if (busy || !title.trim()) return;
    setBusy(true);
    setFault(undefined);
    const body = {
      title: title.trim(),
      filter: values,
      shared,
      expected_version: (over ?? view)?.version ?? 0,
    };
    try {
      const saved = await q.views.put(name, body, key({ name, ...body }));
      await queries.invalidateQueries({ queryKey: ["views"] });
      onSaved(saved);
      onClose();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409 && error.problem.current_status) await conflict();
      else setFault((error as Error).message);
      setBusy(false);
    }
  }
  const submit = (e: FormEvent) => {
    e.preventDefault();
    void save();
  };
  const verb = rename ? "Rename" : view ? "Replace" : "Save";
  const heading = `${verb} this view`;
  return (
    <Dialog title={heading} onClose={onClose}>
      <form className={classes.form} onSubmit={submit} aria-busy={busy}>
        <h2>{heading}</h2>
        <label>
          <span>Title</span>
          <input
            data-autofocus
            required
            maxLength={120}
            value={title}
            disabled={!!theirs}
            onChange={(e) => setTitle(e.target.value)}
            placeholder="Failed today"
          />
        </label>
        {!view && (
          <label className={classes.check}>
            <input
              type="checkbox"
              checked={shared}
              disabled={!mayShare}
              onChange={(e) => setShared(e.target.checked)}
            />
            <span>Share with everyone who can sign in</span>
          </label>
        )}
        <p className={classes.fine}>
          {!mayShare && !view && "Only operators, developers and administrators can share views. "}A view is a filter:
          each person sees the runs in their own scope.
        </p>
        {fault && (
          <p className={classes.fault} role="alert">
            {fault}
          </p>
        )}
        {theirs && (
          <p className={classes.fault} role="alert">
            <Text>{theirs.changed_by}</Text> replaced this view at {moment(theirs.changed_at)}, after you opened it.
            Your {rename ? "title" : "filter"} wasn’t saved.
          </p>
        )}
        <footer className={classes.foot}>
          <Button onClick={onClose}>Back</Button>
          {theirs && (
            <Button
              onClick={() => {
                onSaved(theirs);
                onClose();
              }}
            >
              Open theirs
            </Button>
          )}
          {theirs ? (
            <Button look="ink" danger disabled={busy} onClick={() => void save(theirs)}>
              Replace theirs
            </Button>
          ) : (
            <Button type="submit" look="ink" disabled={busy || !title.trim()}>
              {busy ? "Saving…" : verb}
            </Button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}
