import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import * as q from "../../api/queries";
import type { SigningKey } from "../../api/queries/signing_keys";
import { moment, plural } from "../../format";
import { useNow } from "../../live/now";
import { Ident } from "../Bits";
import { Confirm } from "../Confirm";
import { Section } from "../Page";
import { Failed, Skeleton, useAway } from "../States";
import { RowMenu } from "./RowMenu";
import classes from "./Settings.module.css";

type Verb = "retire" | "revoke";
const VERBS: Record<Verb, { word: string; text: string }> = {
  retire: {
    word: "Retire",
    text: "Nothing new is signed with it. Approvals that are already open can still be decided with it. This can’t be undone.",
  },
  revoke: {
    word: "Revoke",
    text: "For a key that may have leaked: what it signed no longer counts, and no approval can open until another key is in use. This can’t be undone.",
  },
};
const STATUS = { in_force: "in force", retired: "retired", revoked: "revoked" } as const;

/** The public halves of the keys that sign decisions. An API process registers its own when it starts. */
export function SigningKeys() {
  const { data, error, refetch } = useQuery(q.signingKeys.list());
  const queries = useQueryClient();
  const away = useAway();
  const now = useNow();
  const [dialog, setDialog] = useState<{ key: SigningKey; verb: Verb }>();
  return (
    <Section title="Signing keys" note={data?.items.length}>
      {!data ? (
        error ? (
          <Failed error={error} reset={() => void refetch()} />
        ) : (
          <Skeleton rows={3} />
        )
      ) : (
        <ul className={classes.rows}>
          {data.items.map((k) => (
            <li key={k.key_id} data-over={k.status === "revoked" || undefined}>
              <div>
                <b>{STATUS[k.status]}</b> <Ident id={k.key_id} show={k.key_id} /> {k.in_use && <em>in use</em>}
                <span className="muted cut">
                  {[
                    `since ${moment(k.created_at, now)}`,
                    k.retired_at && `retired ${moment(k.retired_at, now)}`,
                    k.revoked_at && `revoked ${moment(k.revoked_at, now)}`,
                    k.approvals_pending > 0 &&
                      `${plural(k.approvals_pending, "open approval needs", "open approvals need")} it`,
                  ]
                    .filter(Boolean)
                    .join(" · ")}
                </span>
              </div>
              {k.status !== "revoked" && (
                <RowMenu
                  of={k.key_id}
                  acts={(["retire", "revoke"] as const).map((verb) => ({
                    word: VERBS[verb].word,
                    act: () => setDialog({ key: k, verb }),
                    disabled: away || (verb === "retire" && (k.in_use || k.status === "retired")),
                    title: verb === "retire" && k.in_use ? "An API process signs with it" : undefined,
                  }))}
                />
              )}
            </li>
          ))}
        </ul>
      )}
      {dialog && (
        <Confirm
          title={`${VERBS[dialog.verb].word} the signing key ${dialog.key.key_id}?`}
          verb={VERBS[dialog.verb].word}
          danger
          needsReason={dialog.verb === "revoke"}
          text={VERBS[dialog.verb].text}
          onClose={() => setDialog(undefined)}
          onConfirm={async (reason, key) => {
            await q.signingKeys.act(dialog.key.key_id, dialog.verb, reason, key);
            await queries.invalidateQueries({ queryKey: ["signing_keys"] });
          }}
        />
      )}
    </Section>
  );
}
