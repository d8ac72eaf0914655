/** Live changes to a list of runs: rows are updated in place, new runs are only counted until the user asks for them. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Run } from "../../api/client";
import { type LiveEvent, useEvents } from "../../live/stream";
import { matches, type Values } from "../../runs";

/** `more`: the list continues below the loaded rows. */
export function useFresh(values: Values, shown: Run[], more: boolean) {
  const [changed, setChanged] = useState(new Map<string, Run>());
  const [fresh, setFresh] = useState(new Set<string>());
  const now = useRef({ shown, values, more });
  now.current = { shown, values, more };
  useEffect(() => setFresh(new Set()), [JSON.stringify(values)]);
  useEvents(
    useCallback((events: LiveEvent[]) => {
      const runs = events.filter((e) => e.kind === "run").map((e) => e.data as Run);
      if (!runs.length) return;
      const { shown, values, more } = now.current;
      const ids = new Set(shown.map((r) => r.run_id));
      const mine = runs.filter((r) => ids.has(r.run_id));
      if (mine.length) setChanged((old) => new Map([...old, ...mine.map((r) => [r.run_id, r] as const)]));
      // A run older than the last row is on a page that isn't loaded. Only the API knows whether a run matches search words.
      const oldest = more ? Date.parse(shown.at(-1)?.created_at ?? "") : -Infinity;
      const added = runs.filter(
        (r) => !ids.has(r.run_id) && Date.parse(r.created_at) >= oldest && matches(r, values) === true,
      );
      if (added.length) setFresh((old) => new Set([...old, ...added.map((r) => r.run_id)]));
    }, []),
  );
  /** The current row: an event older than the loaded row is ignored. */
  function latest(r: Run): Run {
    const event = changed.get(r.run_id);
    return event && Date.parse(event.updated_at) >= Date.parse(r.updated_at) ? { ...r, ...event } : r;
  }
  return { count: fresh.size, show: () => setFresh(new Set()), latest };
}
