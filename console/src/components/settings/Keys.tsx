import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { Plus, X } from "lucide-react";
import { useState } from "react";
import * as q from "../../api/queries";
import type { Key } from "../../api/queries/keys";
import { moment } from "../../format";
import { useNow } from "../../live/now";
import { Ago, Ident } from "../Bits";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { Section } from "../Page";
import { Failed, Skeleton, useAway } from "../States";
import { More } from "./More";
import { NewKey } from "./NewKey";
import classes from "./Settings.module.css";
import { Text } from "../Text";

function KeyRow({ k, onRevoke }: { k: Key; onRevoke(): void }) {
  const now = useNow();
  const away = useAway();
  const live = k.status === "live";
  const end =
    k.status === "revoked" && k.revoked_at
      ? `revoked ${moment(k.revoked_at, now)}`
      : `${live ? "expires" : "expired"} ${moment(k.expires_at, now)}`;
  return (
    <li data-over={!live || undefined}>
      <div>
        <b>
          <Text>{k.principal}</Text>
        </b>{" "}
        <Ident id={k.key_id} show={k.key_id} />
        <span className="muted cut">
          <Text>
            {[k.note && `“${k.note}”`, `created by ${k.created_by} ${moment(k.created_at, now)}`, end]
              .filter(Boolean)
              .join(" · ")}
          </Text>
        </span>
      </div>
      <span className="muted num">
        {k.last_used_at ? (
          <>
            used <Ago at={k.last_used_at} />
          </>
        ) : (
          "never used"
        )}
      </span>
      {live ? (
        <Button look="quiet" small disabled={away} onClick={onRevoke}>
          Revoke
        </Button>
      ) : (
        <span className="muted">{k.status}</span>
      )}
    </li>
  );
}

/** All API keys, or those of one principal. Only hashes are stored, so a key can't be shown again. */
export function Keys({ principal, onPrincipal }: { principal?: string; onPrincipal(name?: string): void }) {
  const pages = useInfiniteQuery(q.keys.pages(principal));
  const queries = useQueryClient();
  const away = useAway();
  const [creating, setCreating] = useState(false);
  const [revoked, setRevoked] = useState<Key>();
  const all = pages.data?.pages.flatMap((p) => p.items) ?? [];
  const refresh = () => queries.invalidateQueries({ queryKey: ["keys"] });
  return (
    <Section title="API keys" note={pages.data && all.length}>
      <div className={classes.tools}>
        {principal && (
          <Button small onClick={() => onPrincipal(undefined)}>
            of <Text>{principal}</Text>
            <X size={12} aria-label="remove" />
          </Button>
        )}
        <Button small icon={<Plus size={14} aria-hidden />} disabled={away} onClick={() => setCreating(true)}>
          New API key
        </Button>
      </div>
      {!pages.data ? (
        pages.error ? (
          <Failed error={pages.error} reset={() => void pages.refetch()} />
        ) : (
          <Skeleton rows={6} />
        )
      ) : all.length ? (
        <ul className={classes.rows}>
          {all.map((k) => (
            <KeyRow key={k.key_id} k={k} onRevoke={() => setRevoked(k)} />
          ))}
        </ul>
      ) : (
        <p className={classes.hint}>
          <Text>{principal ? `${principal} has no API keys.` : "No API keys yet."}</Text>
        </p>
      )}
      <More of={pages} />
      {creating && <NewKey principal={principal} onMade={() => void refresh()} onClose={() => setCreating(false)} />}
      {revoked && (
        <Confirm
          title={`Revoke an API key of ${revoked.principal}?`}
          verb="Revoke"
          danger
          text={`${revoked.key_id}${revoked.note ? `, “${revoked.note}”,` : ""} stops working immediately. Its sessions and streams end, and decisions made with it no longer have an effect. This can’t be undone.`}
          onClose={() => setRevoked(undefined)}
          onConfirm={async (reason, key) => {
            await q.keys.revoke(revoked.key_id, reason, key);
            await refresh();
          }}
        />
      )}
    </Section>
  );
}
