/** Changes to a list of runs that is being read: rows are replaced where they are, new runs are counted and wait to be asked for. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { Run } from "../api/client";
import type { RunFilter } from "../api/queries/runs";
import { useEvents, type LiveEvent } from "../live/stream";

export function useFresh(filter: RunFilter, shown: Run[]) {
  const [changed, setChanged] = useState(new Map<string, Partial<Run>>());
  const [fresh, setFresh] = useState(new Set<string>());
  const filtered = Object.values(filter).some((v) => (Array.isArray(v) ? v.length > 0 : v !== undefined));
  const now = useRef({ shown, filtered });
  now.current = { shown, filtered };
  useEffect(() => setFresh(new Set()), [JSON.stringify(filter)]);
  useEvents(
    useCallback((events: LiveEvent[]) => {
      const runs = events.filter((e) => e.kind === "run");
      if (!runs.length) return;
      const known = new Set(now.current.shown.map((r) => r.run_id));
      const mine = runs.filter((e) => known.has(e.run_id!));
      if (mine.length)
        setChanged((old) => new Map([...old, ...mine.map((e) => [e.run_id!, e.data as Partial<Run>] as const)]));
      // Ids are ordered by time: a greater one than the newest is of a new run. Whether it fits a filter only the server knows.
      const newest = now.current.shown[0]?.run_id ?? "";
      const added = now.current.filtered ? [] : runs.map((e) => e.run_id!).filter((id) => id > newest);
      if (added.length) setFresh((old) => new Set([...old, ...added]));
    }, []),
  );
  /** The row as it is now: an event that is older than what was read since changes nothing. */
  function latest(r: Run): Run {
    const event = changed.get(r.run_id);
    return event && Date.parse(event.updated_at ?? "") >= Date.parse(r.updated_at) ? { ...r, ...event } : r;
  }
  return {
    count: fresh.size,
    show: () => setFresh(new Set()),
    latest,
  };
}
