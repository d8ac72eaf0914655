import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import * as q from "../../api/queries";
import type { Session } from "../../api/queries/sessions";
import { moment } from "../../format";
import { useNow } from "../../live/now";
import { visible } from "../../unseen";
import { Ago } from "../Bits";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { Section } from "../Page";
import { Failed, Skeleton, useAway } from "../States";
import { browserOf } from "./browser";
import classes from "./Settings.module.css";
import { Text } from "../Text";

/** The user's sessions. Any of them can be ended, for example one the user doesn't recognise. */
export function Sessions({ principal }: { principal: string }) {
  const { data, error, refetch } = useQuery(q.sessions.list(principal));
  const queries = useQueryClient();
  const away = useAway();
  const now = useNow();
  const [ending, setEnding] = useState<Session>();
  return (
    <Section title="Sessions" note={data?.items.length}>
      {!data ? (
        error ? (
          <Failed error={error} reset={() => void refetch()} />
        ) : (
          <Skeleton rows={3} />
        )
      ) : (
        <ul className={classes.rows}>
          {data.items.map((s) => (
            <li key={s.session_id}>
              <div>
                <b>
                  <Text>{browserOf(s.user_agent)}</Text>
                </b>{" "}
                {s.current && <em>this browser</em>}
                <span className="muted cut" title={visible(s.user_agent ?? "")}>
                  {s.address ?? "address unknown"}, since {moment(s.opened_at, now)}, API key {s.key_id}
                </span>
              </div>
              <span className="muted num">
                used <Ago at={s.last_used_at} />
              </span>
              <Button look="quiet" small disabled={away} onClick={() => setEnding(s)}>
                {s.current ? "Sign out" : "End"}
              </Button>
            </li>
          ))}
        </ul>
      )}
      {ending && (
        <Confirm
          title={ending.current ? "Sign out of this browser?" : "End this session?"}
          verb={ending.current ? "Sign out" : "End"}
          text={`${browserOf(ending.user_agent)} at ${ending.address ?? "an unknown address"}. Its open pages are signed out immediately. The API key stays valid: to end both, revoke the key.`}
          onClose={() => setEnding(undefined)}
          onConfirm={async (reason, key) => {
            await q.sessions.end(ending.session_id, reason, key);
            await queries.invalidateQueries({ queryKey: ["sessions"] });
          }}
        />
      )}
    </Section>
  );
}
