import { useState } from "react";
import { keysOff, MOD, setKeysOff } from "../live/keys";
import { Kbd } from "./Button";
import { Dialog } from "./Dialog";
import classes from "./Keys.module.css";
import { NAV } from "./nav";

const KEYS: [string, [string[], string][]][] = [
  [
    "Everywhere",
    [
      [[`${MOD} K`], "search or jump to"],
      [["?"], "these shortcuts"],
      [["Esc"], "close"],
    ],
  ],
  ["Go to", NAV.flatMap((g) => g.items.map((i) => [["G", i.key.toUpperCase()], i.word] as [string[], string]))],
  [
    "Approvals",
    [
      [["J"], "next"],
      [["K"], "previous"],
      [["A"], "focus Approve; Enter decides"],
      [["R"], "focus Reject; Enter decides"],
      [["E"], "edit the call"],
      [["Enter"], "open on its own page"],
    ],
  ],
  [
    "A run",
    [
      [["↑", "↓"], "move between steps"],
      [["←", "→"], "collapse and expand"],
      [["Home", "End"], "first and last step"],
    ],
  ],
  [
    "Runs",
    [
      [["/"], "search"],
      [["J", "K"], "move between rows"],
      [["Enter"], "open"],
    ],
  ],
];

/** The keyboard shortcuts, by page. */
export function Keys({ open, onClose }: { open: boolean; onClose(): void }) {
  const [off, setOff] = useState(keysOff);
  if (!open) return null;
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose} wide>
      <h2 tabIndex={-1} data-autofocus>
        Keyboard shortcuts
      </h2>
      <div className={classes.keys}>
        {KEYS.map(([title, rows]) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {rows.map(([keys, word]) => (
                <div key={word}>
                  <dt>
                    {keys.map((k) => (
                      <Kbd key={k}>{k}</Kbd>
                    ))}
                  </dt>
                  <dd>{word}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <label className={classes.off}>
        <input
          type="checkbox"
          checked={off}
          onChange={(e) => {
            setKeysOff(e.target.checked);
            setOff(e.target.checked);
          }}
        />
        Turn off single-key shortcuts; those with {MOD} stay
      </label>
    </Dialog>
  );
}
