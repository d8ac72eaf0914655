import classes from "./Form.module.css";
import { type Effect, type RuleDraft, UNITS, type Unit } from "./rules";

const EFFECTS: Record<Effect, [string, string]> = {
  allow: ["Allow", "Calls pass unasked."],
  require_approval: ["Ask", "Each call waits until a person has approved it."],
  deny: ["Deny", "Each call fails, and is not tried again."],
};

interface Props {
  noun: "tool" | "agent";
  draft: RuleDraft;
  set(change: Partial<RuleDraft>): void;
  /** What the API has found wrong with a field. */
  faultAt(field: string): string | undefined;
}
/** What a rule does to a call, and who decides until when. */
export function RuleFields({ noun, draft, set, faultAt }: Props) {
  return (
    <>
      <fieldset className={classes.choice}>
        <legend>A call of {noun === "agent" ? "a tool by this agent" : "this tool"}</legend>
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
            <i>{faultAt("approvers") ?? "People and groups by name, with commas; role:approver is any approver."}</i>
          </label>
          <div className={classes.pair}>
            <label>
              <span>They have</span>
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
            <span>Changed arguments take two approvers: one proposes them, another approves exactly these</span>
          </label>
        </>
      )}
    </>
  );
}
