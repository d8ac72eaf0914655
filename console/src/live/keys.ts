/** Keys of the whole page. Single letters can be switched off (WCAG 2.1.4), and are never taken from a field. */
import { useEffect, useRef, type RefObject } from "react";

const OFF = "agentgrid-keys-off";
const CHORD = 1_200; // milliseconds between the first key of two and the second
export const keysOff = () => localStorage.getItem(OFF) === "1";
export const setKeysOff = (off: boolean) => (off ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF));
/** The name of the key that commands begin with here. */
export const MOD = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";

type Handlers = Record<string, (e: KeyboardEvent) => unknown>;
/** Those of the page come before those around it: what is inside has its effects first. */
const active = new Set<RefObject<Handlers>>();
let first = { key: "", at: 0 };

const typing = (e: KeyboardEvent) =>
  e.target instanceof HTMLElement &&
  (e.target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(e.target.tagName));
const nameOf = (e: KeyboardEvent) =>
  `${e.ctrlKey || e.metaKey ? "mod+" : ""}${e.altKey ? "alt+" : ""}${e.key.length === 1 ? e.key.toLowerCase() : e.key}`;
const isElsewhere = (e: KeyboardEvent, name: string) =>
  !name.startsWith("mod+") &&
  (typing(e) || document.querySelector("[aria-modal]") !== null || (e.key.length === 1 && keysOff()));

function press(e: KeyboardEvent) {
  if (e.defaultPrevented || e.key === "Shift") return;
  const key = nameOf(e);
  if (isElsewhere(e, key)) return;
  const name = e.timeStamp - first.at < CHORD && first.key ? `${first.key} ${key}` : key;
  first = { key: "", at: 0 };
  const hooks = [...active].map((hook) => hook.current);
  const taken = hooks.some((handlers) => handlers[name] && handlers[name](e) !== false);
  if (taken && key !== "Enter") e.preventDefault();
  if (!taken && hooks.some((handlers) => Object.keys(handlers).some((other) => other.startsWith(`${name} `))))
    first = { key: name, at: e.timeStamp };
}

/**
 * `handlers` by key: `a`, `/`, `?`, `Enter`, `mod+k`; by two keys after one another: `g r`. The first handler that doesn't answer false has the
 * key, and the browser and other handlers don't.
 */
export function useKeys(handlers: Handlers) {
  const latest = useRef(handlers);
  latest.current = handlers;
  useEffect(() => {
    if (!active.size) addEventListener("keydown", press);
    active.add(latest);
    return () => {
      active.delete(latest);
      if (!active.size) removeEventListener("keydown", press);
    };
  }, []);
}
