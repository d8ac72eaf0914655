import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { AgentDetail } from "../../api/client";
import * as q from "../../api/queries";
import { ago } from "../../format";
import { useNow } from "../../live/now";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { Diff } from "../Diff";
import classes from "../Diff.module.css";
import { useAway } from "../States";
import { Text } from "../Text";

/** A shortened digest; a version made by an operator has a short name already. */
export const short = (version: string) => (/^[0-9a-f]{12,}$/.test(version) ? version.slice(0, 8) : version);

/** All versions, what the selected one changed, and a button to use it again. */
export function Versions({ agent }: { agent: AgentDetail }) {
  const [picked, setPicked] = useState<string>();
  const at = picked ?? agent.version;
  const [asking, setAsking] = useState(false);
  const queries = useQueryClient();
  const now = useNow();
  const away = useAway();
  const index = agent.versions.findIndex((v) => v.version === at);
  const open = agent.versions[Math.max(0, index)];
  if (!open) return <p className="muted">Its worker registered no valid version.</p>;
  const before = agent.versions[Math.max(0, index) + 1];
  const edit = agent.actions.find((a) => a.verb === "edit");
  const use = agent.actions.find((a) => a.verb === "use");
  return (
    <div className={classes.diff}>
      <ol>
        {agent.versions.map((v) => (
          <li key={v.version}>
            <button type="button" aria-pressed={open === v} onClick={() => setPicked(v.version)}>
              <code>
                <Text>{short(v.version)}</Text>
              </code>
              <span>
                <Text>{v.note || (v.source === "code" ? "From code" : "Without a note")}</Text>
                {v.version === agent.version && <em>in use</em>}
              </span>
              <i>
                <Text>{[v.created_by ?? (v.note && "code"), ago(v.created_at, now)].filter(Boolean).join(", ")}</Text>
              </i>
            </button>
          </li>
        ))}
        {edit && !edit.allowed && <li className={classes.why}>You can’t make another: {edit.reason}.</li>}
      </ol>
      <div>
        <header className={classes.head}>
          <h3>{before ? `Changes in ${short(open.version)} since ${short(before.version)}` : "The first version"}</h3>
          {open.version !== agent.version && (
            <Button
              small
              disabled={!use?.allowed || away}
              title={use?.reason ?? undefined}
              onClick={() => setAsking(true)}
            >
              Use this version
            </Button>
          )}
        </header>
        <Diff before={before} after={open} />
      </div>
      {asking && (
        <Confirm
          title={`Use version ${short(open.version)}?`}
          text="New calls use it within seconds. Open calls keep their version."
          verb="Use it"
          onClose={() => setAsking(false)}
          onConfirm={async (reason, key) => {
            await q.agents.use(agent.name, open.version, agent.version, reason ?? "", key);
            await queries.invalidateQueries({ queryKey: ["agents"] });
            setPicked(undefined);
          }}
        />
      )}
    </div>
  );
}
