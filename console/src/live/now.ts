/** The current time for texts like "6 s ago": one timer for the whole page. */
import { useSyncExternalStore } from "react";

const watchers = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function watch(watcher: () => void) {
  watchers.add(watcher);
  now = Date.now();
  timer ??= setInterval(() => {
    now = Date.now();
    watchers.forEach((w) => w());
  }, 1000);
  return () => {
    watchers.delete(watcher);
    if (!watchers.size) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}
export const useNow = () => useSyncExternalStore(watch, () => now);
