/** Keys of the whole page. Single letters can be switched off (WCAG 2.1.4), and are never taken from a field. */
import { useEffect, useRef } from "react";

const OFF = "agentgrid-keys-off";
export const keysOff = () => localStorage.getItem(OFF) === "1";
export const setKeysOff = (off: boolean) => (off ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF));

type Handlers = Record<string, (e: KeyboardEvent) => unknown>;
const typing = (e: KeyboardEvent) =>
  e.target instanceof HTMLElement &&
  (e.target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(e.target.tagName));
const nameOf = (e: KeyboardEvent) =>
  `${e.ctrlKey || e.metaKey ? "mod+" : ""}${e.altKey ? "alt+" : ""}${e.key.length === 1 ? e.key.toLowerCase() : e.key}`;

/** `handlers` by key: `a`, `/`, `?`, `Enter`, `mod+k`. A key is taken from the browser and from other handlers, unless the handler answers false. */
export function useKeys(handlers: Handlers) {
  const latest = useRef(handlers);
  latest.current = handlers;
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      const name = nameOf(e);
      const handler = latest.current[name];
      if (!handler || e.defaultPrevented) return;
      if (
        !name.startsWith("mod+") &&
        (typing(e) || document.querySelector("[aria-modal]") || (e.key.length === 1 && keysOff()))
      )
        return;
      if (handler(e) !== false && e.key !== "Enter") e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
