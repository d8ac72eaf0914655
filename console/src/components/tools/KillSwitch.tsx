import { useQueryClient } from "@tanstack/react-query";
import { Power } from "lucide-react";
import { useState, type FormEvent } from "react";
import type { ToolDetail } from "../../api/client";
import * as q from "../../api/queries";
import { moment, sentence } from "../../format";
import { useNow } from "../../live/now";
import { visible } from "../../unseen";
import { Button } from "../Button";
import { useAway } from "../States";
import { useKey } from "../useKey";
import classes from "./Panel.module.css";
import { Text } from "../Text";

/** The switch that stops every call of a tool, with an inline form for the reason. */
export function KillSwitch({ tool }: { tool: ToolDetail }) {
  const off = tool.switch.disabled;
  const to = off ? "enable" : "disable";
  const [confirming, setConfirming] = useState(false);
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string>();
  const key = useKey();
  const now = useNow();
  const away = useAway();
  const queries = useQueryClient();
  const act = tool.actions.find((a) => a.verb === to);
  const cant = away ? "The API isn’t responding." : act && !act.allowed ? act.reason : undefined;
  async function submit(e: FormEvent) {
    e.preventDefault();
    if (busy) return;
    const reason = why.trim() || null;
    if (!off && !reason) return setFault("Give a reason: it is shown here and in the audit log.");
    setBusy(true);
    setFault(undefined);
    try {
      await q.policies.turn({ noun: "tool", name: tool.name }, to, reason, key({ to, reason }));
      await queries.invalidateQueries({ queryKey: ["tools"] });
      setConfirming(false);
      setWhy("");
    } catch (error) {
      setFault((error as Error).message);
    } finally {
      setBusy(false);
    }
  }
  return (
    <section className={classes.switch} data-off={off || undefined}>
      <Power size={15} aria-hidden />
      <div>
        <b>{off ? "Switched off" : "Switched on"}</b>
        <p>
          <Text>
            {off
              ? `${sentence(tool.switch.reason || "All calls fail")}. By ${tool.switch.created_by}${tool.switch.created_at ? `, ${moment(tool.switch.created_at, now)}` : ""}.`
              : "Switching it off stops every call within seconds, in open runs too."}
          </Text>
          {cant && <i>{sentence(cant)}.</i>}
        </p>
      </div>
      <input
        type="checkbox"
        role="switch"
        checked={!off}
        disabled={!!cant}
        onChange={() => setConfirming(true)}
        aria-label={`${visible(tool.title)} can be called`}
      />
      {confirming && (
        <form className={classes.sure} onSubmit={(e) => void submit(e)} aria-busy={busy}>
          <input
            autoFocus
            value={why}
            maxLength={1000}
            onChange={(e) => setWhy(e.target.value)}
            placeholder={off ? "Why? Kept in the audit log" : "Why? Shown here and in the audit log"}
            aria-label={off ? "Reason (optional)" : "Reason"}
            aria-invalid={!!fault}
          />
          {fault && (
            <p className={classes.fault} role="alert">
              {fault}
            </p>
          )}
          <Button look="quiet" onClick={() => setConfirming(false)}>
            {off ? "Keep off" : "Keep on"}
          </Button>
          <Button type="submit" danger={!off} disabled={busy}>
            {busy ? "Sending…" : off ? "Switch on" : "Switch off"}
          </Button>
        </form>
      )}
    </section>
  );
}
