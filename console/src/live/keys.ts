/** Page-wide keyboard shortcuts. Single letters can be turned off (WCAG 2.1.4), and never fire inside a field. */
import { useEffect, useRef, type RefObject } from "react";

const OFF = "agentgrid-keys-off";
const CHORD = 1_200; // maximum milliseconds between the two keys of a chord
export const keysOff = () => localStorage.getItem(OFF) === "1";
export const setKeysOff = (off: boolean) => (off ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF));
/** The name of this platform's command modifier. */
export const MOD = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";

type Handlers = Record<string, (e: KeyboardEvent) => unknown>;
/** A page's handlers come before those of the components around it: React runs the effects of children first. */
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
  const handled = hooks.some((handlers) => handlers[name] && handlers[name](e) !== false);
  if (handled && key !== "Enter") e.preventDefault();
  if (!handled && hooks.some((handlers) => Object.keys(handlers).some((other) => other.startsWith(`${name} `))))
    first = { key: name, at: e.timeStamp };
}

/**
 * `handlers` by key: `a`, `/`, `?`, `Enter`, `mod+k`; by a chord of two keys: `g r`. The first handler that
 * doesn't return false handles the key; other handlers and the browser don't get it.
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
