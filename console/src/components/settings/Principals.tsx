import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Bot, Cog, UserRound } from "lucide-react";
import { useState } from "react";
import * as q from "../../api/queries";
import { isProposed, type Proposed } from "../../api/queries/policies";
import type { Principal } from "../../api/queries/principals";
import { moment } from "../../format";
import { useNow } from "../../live/now";
import { Confirm } from "../Confirm";
import { Section } from "../Page";
import { Failed, Skeleton, useAway } from "../States";
import { More } from "./More";
import { RowMenu } from "./RowMenu";
import classes from "./Settings.module.css";
import { Text } from "../Text";

const KINDS: Record<string, { word: string; Icon: typeof Bot }> = {
  human: { word: "Person", Icon: UserRound },
  service: { word: "Program", Icon: Cog },
  agent: { word: "Agent", Icon: Bot },
};
function Who({ p, me, onAct }: { p: Principal; me: string | undefined; onAct(): void }) {
  const now = useNow();
  const away = useAway();
  const go = useNavigate();
  const { word, Icon } = KINDS[p.kind] ?? KINDS.service!;
  const more = [
    p.groups.length && `${p.groups.length === 1 ? "group" : "groups"} ${p.groups.join(", ")}`,
    !p.workflows.includes("*") && `only ${p.workflows.join(", ") || "no workflow"}`,
    p.disabled && p.disabled_at && `disabled ${moment(p.disabled_at, now)}`,
  ].filter(Boolean);
  return (
    <li data-over={p.disabled || undefined}>
      <span title={word} className={classes.kind}>
        <Icon size={15} aria-hidden />
        <span className="visually-hidden">{word}</span>
      </span>
      <div>
        <b>
          <Text>{p.name}</Text>
        </b>{" "}
        {p.name === me && <em>you</em>} {p.disabled && <em>disabled</em>}
        <span className="muted cut">
          <Text>{[p.roles.join(", ") || "no roles", ...more].join(" · ")}</Text>
        </span>
      </div>
      <RowMenu
        of={p.name}
        acts={[
          { word: "API keys", act: () => void go({ to: "/settings", search: { view: "keys", principal: p.name } }) },
          { word: p.disabled ? "Enable" : "Disable", act: onAct, disabled: away },
        ]}
      />
    </li>
  );
}

/** All principals: people, programs and agents. */
export function Principals() {
  const { data: me } = useQuery(q.me.me());
  const pages = useInfiniteQuery(q.principals.pages());
  const queries = useQueryClient();
  const [target, setTarget] = useState<Principal>();
  const [proposed, setProposed] = useState<Proposed>();
  const all = pages.data?.pages.flatMap((p) => p.items) ?? [];
  const verb = target?.disabled ? "enable" : "disable";
  return (
    <Section title="People and programs" note={pages.data && all.length}>
      {!pages.data ? (
        pages.error ? (
          <Failed error={pages.error} reset={() => void pages.refetch()} />
        ) : (
          <Skeleton rows={6} />
        )
      ) : (
        <ul className={classes.rows} data-kinds>
          {all.map((p) => (
            <Who key={p.name} p={p} me={me?.name} onAct={() => setTarget(p)} />
          ))}
        </ul>
      )}
      <More of={pages} />
      {proposed && (
        <p className={classes.hint} role="status">
          Nothing has changed yet: this principal decides approvals, so another administrator must confirm by{" "}
          {moment(proposed.expires_at)}: <code>agentgrid proposal confirm {proposed.command_id}</code>
        </p>
      )}
      <p className={classes.hint}>
        Roles, groups and new principals: <code>agentgrid principal put NAME --role ROLE</code>. A second administrator
        must confirm a change that lets someone decide more approvals.
      </p>
      {target && (
        <Confirm
          title={verb === "disable" ? `Disable ${target.name}?` : `Enable ${target.name}?`}
          verb={verb === "disable" ? "Disable" : "Enable"}
          danger={verb === "disable"}
          text={
            verb === "disable"
              ? "Its keys stop working, its sessions and streams end, and its decisions no longer count."
              : "Its keys work again, unless they have expired or were revoked."
          }
          onClose={() => setTarget(undefined)}
          onConfirm={async (reason, key) => {
            const answer = await q.principals.act(target.name, verb, reason, key);
            setProposed(isProposed(answer) ? answer : undefined);
            await queries.invalidateQueries({ queryKey: ["principals"] });
          }}
        />
      )}
    </Section>
  );
}
