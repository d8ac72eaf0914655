import classes from "./Form.module.css";
import { type Effect, type RuleDraft, UNITS, type Unit } from "./rules";

const EFFECTS: Record<Effect, [string, string]> = {
  allow: ["Allow", "Calls pass without approval."],
  require_approval: ["Ask", "Each call waits until a person approves it."],
  deny: ["Deny", "Each call fails and isn’t retried."],
};

interface Props {
  noun: "tool" | "agent";
  draft: RuleDraft;
  set(change: Partial<RuleDraft>): void;
  /** The API's error for a field. */
  faultAt(field: string): string | undefined;
}
/** A rule's effect on a call, who decides, and by when. */
export function RuleFields({ noun, draft, set, faultAt }: Props) {
  return (
    <>
      <fieldset className={classes.choice}>
        <legend>Calls {noun === "agent" ? "by this agent" : "of this tool"}</legend>
        {(Object.keys(EFFECTS) as Effect[]).map((x) => (
          <label key={x} data-on={x === draft.effect || undefined}>
            <input type="radio" name="effect" checked={x === draft.effect} onChange={() => set({ effect: x })} />
            <b>{EFFECTS[x][0]}</b>
            <span>{EFFECTS[x][1]}</span>
          </label>
        ))}
      </fieldset>
      {draft.effect === "require_approval" && (
        <>
          <label>
            <span>Who may approve</span>
            <input
              value={draft.approvers}
              onChange={(e) => set({ approvers: e.target.value })}
              aria-invalid={!!faultAt("approvers")}
              spellCheck={false}
            />
            <i>
              {faultAt("approvers") ??
                "Names of people and groups, separated by commas; role:approver means any approver."}
            </i>
          </label>
          <div className={classes.pair}>
            <label>
              <span>Expires after</span>
              <input
                type="number"
                min={1}
                step="any"
                required
                value={draft.time}
                onChange={(e) => set({ time: e.target.value })}
                aria-invalid={!!faultAt("expires_seconds")}
              />
            </label>
            <label>
              <span>Unit</span>
              <select value={draft.unit} onChange={(e) => set({ unit: e.target.value as Unit })}>
                {Object.keys(UNITS).map((u) => (
                  <option key={u}>{u}</option>
                ))}
              </select>
            </label>
          </div>
          {faultAt("expires_seconds") && <p className={classes.fault}>{faultAt("expires_seconds")}</p>}
          <label className={classes.check}>
            <input type="checkbox" checked={draft.two} onChange={(e) => set({ two: e.target.checked })} />
            <span>Changed arguments need two approvers: one proposes them, another approves exactly those</span>
          </label>
        </>
      )}
    </>
  );
}
