/** Changes to a list of runs that is being read: rows are replaced where they are, new runs are counted and wait to be asked for. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Run } from "../../api/client";
import { type LiveEvent, useEvents } from "../../live/stream";
import { fits, type Values } from "../../runs";

/** `more`: the list goes on below the rows that are shown. */
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
      const known = new Set(shown.map((r) => r.run_id));
      const mine = runs.filter((r) => known.has(r.run_id));
      if (mine.length) setChanged((old) => new Map([...old, ...mine.map((r) => [r.run_id, r] as const)]));
      // What is older than the last row is on a page that has not come. Whether words find a run only the API knows.
      const oldest = more ? Date.parse(shown.at(-1)?.created_at ?? "") : -Infinity;
      const added = runs.filter(
        (r) => !known.has(r.run_id) && Date.parse(r.created_at) >= oldest && fits(r, values) === true,
      );
      if (added.length) setFresh((old) => new Set([...old, ...added.map((r) => r.run_id)]));
    }, []),
  );
  /** The row as it is now: an event that is older than what was read since changes nothing. */
  function latest(r: Run): Run {
    const event = changed.get(r.run_id);
    return event && Date.parse(event.updated_at) >= Date.parse(r.updated_at) ? { ...r, ...event } : r;
  }
  return { count: fresh.size, show: () => setFresh(new Set()), latest };
}
