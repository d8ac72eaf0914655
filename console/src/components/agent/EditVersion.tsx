import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { ApiError, type AgentDetail } from "../../api/client";
import * as q from "../../api/queries";
import { sentence } from "../../format";
import { RiskMark } from "../../status";
import { Button } from "../Button";
import { Dialog } from "../Dialog";
import classes from "../Form.module.css";
import { useKey } from "../useKey";
import { LIMITS, type Limits, type Version } from "./diff";
import { bodyOf, type Draft } from "./draft";
import { short } from "./Versions";
import { Text } from "../Text";

const FIELDS = ["usd", "requests", "tool_calls", "tokens", "seconds"] as const;
const textOf = (n: number | null) => (n === null ? "" : String(n));

/** Makes a new version from the one in use. Nothing may exceed what the code allows. */
export function EditVersion({ agent, active, onClose }: { agent: AgentDetail; active: Version; onClose(): void }) {
  // Data that is refetched meanwhile isn't what the form started from.
  const [seen, setSeen] = useState(active);
  const code = agent.versions.find((v) => v.version === agent.code_version) ?? active;
  const [draft, setDraft] = useState<Draft>({
    instructions: active.instructions,
    models: active.models.join("\n"),
    tools: active.tools,
    limits: Object.fromEntries(
      (Object.keys(LIMITS) as (keyof Limits)[]).map((k) => [k, textOf(active.limits[k])]),
    ) as Draft["limits"],
    note: "",
  });
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<Error>();
  const key = useKey();
  const queries = useQueryClient();
  const set = (change: Partial<Draft>) => setDraft((old) => ({ ...old, ...change }));
  const faultAt = (pointer: string) =>
    fault instanceof ApiError
      ? fault.problem.faults?.find((f) => `/${f.pointer.replace(/^\//, "")}`.startsWith(pointer))?.message
      : undefined;
  async function submit(e: FormEvent) {
    e.preventDefault();
    if (busy) return;
    if (!draft.note.trim()) return setFault(new Error("Say what this version is for: the list of versions shows it."));
    setBusy(true);
    setFault(undefined);
    const body = bodyOf(draft, seen, code);
    try {
      await q.agents.edit(agent.name, body, key(body));
      await queries.invalidateQueries({ queryKey: ["agents"] });
      onClose();
    } catch (error) {
      setFault(error as Error);
      setBusy(false);
      void queries.invalidateQueries({ queryKey: ["agents"] });
    }
  }
  const stale = fault instanceof ApiError && fault.status === 409;
  const newer = active.version !== seen.version;
  return (
    <Dialog title={`New version of ${agent.title}`} onClose={onClose} wide>
      <form className={classes.form} onSubmit={(e) => void submit(e)} aria-busy={busy}>
        <h2>
          New version of <Text>{agent.title}</Text>
        </h2>
        <p className={classes.fine}>
          Based on version {short(seen.version)}. New calls use it within seconds; open calls keep theirs. It can’t
          exceed what the code allows.
        </p>
        <label>
          <span>Instructions</span>
          <textarea
            data-long
            maxLength={20_000}
            value={draft.instructions}
            onChange={(e) => set({ instructions: e.target.value })}
            aria-invalid={!!faultAt("/instructions")}
          />
          {faultAt("/instructions") && <i>{faultAt("/instructions")}</i>}
        </label>
        <label>
          <span>Models in order of preference, one per line</span>
          <textarea
            rows={2}
            spellCheck={false}
            value={draft.models}
            onChange={(e) => set({ models: e.target.value })}
            placeholder="The worker’s default. Or: provider:model"
            aria-invalid={!!faultAt("/models")}
          />
          {faultAt("/models") && <i>{faultAt("/models")}</i>}
        </label>
        <fieldset className={classes.tools}>
          <legend>Tools, from those in its code</legend>
          {agent.tools.map((t) => (
            <label key={t.name}>
              <input
                type="checkbox"
                checked={draft.tools.includes(t.name)}
                onChange={(e) =>
                  set({
                    tools: agent.tools
                      .map((x) => x.name)
                      .filter((x) => (x === t.name ? e.target.checked : draft.tools.includes(x))),
                  })
                }
              />
              <span>
                <Text>{t.title ?? t.name}</Text>
              </span>
              {t.risk && <RiskMark risk={t.risk} />}
            </label>
          ))}
          {faultAt("/tools") && <p className={classes.fault}>{faultAt("/tools")}</p>}
        </fieldset>
        <fieldset className={classes.group}>
          <legend>Limits of one call. Empty: as in the code</legend>
          <div className={classes.limits}>
            {FIELDS.map((k) => (
              <label key={k}>
                <span>
                  {LIMITS[k].word}
                  {(k === "usd" || k === "seconds") && `, ${LIMITS[k].unit}`}
                </span>
                <input
                  type="number"
                  min={0}
                  max={code.limits[k] ?? undefined}
                  step={k === "usd" || k === "seconds" ? "any" : 1}
                  value={draft.limits[k]}
                  onChange={(e) => set({ limits: { ...draft.limits, [k]: e.target.value } })}
                  placeholder={code.limits[k] === null ? "no limit" : String(code.limits[k])}
                  aria-invalid={!!faultAt(`/limits/${k}`)}
                />
                {faultAt(`/limits/${k}`) ? (
                  <i>{faultAt(`/limits/${k}`)}</i>
                ) : (
                  code.limits[k] !== null && <i>at most {code.limits[k]}</i>
                )}
              </label>
            ))}
            <label>
              <span>Asks to continue at, share</span>
              <input
                type="number"
                min={0}
                max={1}
                step="any"
                value={draft.limits.soft}
                onChange={(e) => set({ limits: { ...draft.limits, soft: e.target.value } })}
                placeholder={code.limits.soft === null ? "never asks" : String(code.limits.soft)}
                aria-invalid={!!faultAt("/limits/soft")}
              />
              {faultAt("/limits/soft") && <i>{faultAt("/limits/soft")}</i>}
            </label>
          </div>
        </fieldset>
        <label>
          <span>What it is for</span>
          <textarea
            rows={2}
            maxLength={4000}
            value={draft.note}
            onChange={(e) => set({ note: e.target.value })}
            placeholder="Shown in the list of versions; kept in the audit log"
          />
        </label>
        {stale ? (
          <div className={classes.newer} role="alert">
            <p>
              {newer ? (
                <>
                  <b>
                    <Text>{active.created_by ?? "The code"}</Text>
                  </b>{" "}
                  switched to version {short(active.version)} meanwhile
                  <Text>{active.note && `: ${sentence(active.note)}`}</Text>.
                </>
              ) : (
                "Another version is now in use."
              )}{" "}
              Your version wasn’t saved; what you typed is kept.
            </p>
            <Button small disabled={!newer} onClick={() => (setSeen(active), setFault(undefined))}>
              Continue with mine
            </Button>
          </div>
        ) : (
          fault && (
            <p className={classes.fault} role="alert">
              <Text>{fault.message}</Text>
            </p>
          )
        )}
        <footer className={classes.foot}>
          <Button onClick={onClose}>Back</Button>
          <Button type="submit" look="ink" disabled={busy || stale}>
            {busy ? "Sending…" : "Use it for new calls"}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
