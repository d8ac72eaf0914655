/** Changes to a list of runs that is being read: rows are replaced where they are, new runs are counted and wait to be asked for. */
import { useCallback, useState } from "react";
import type { Run } from "../api/client";
import type { RunFilter } from "../api/queries/runs";
import { useEvents, type LiveEvent } from "../live/stream";

export function useFresh(filter: RunFilter, shown: Run[]) {
  const [changed, setChanged] = useState(new Map<string, Partial<Run>>());
  const [fresh, setFresh] = useState(new Set<string>());
  const known = new Set(shown.map((r) => r.run_id));
  const newest = shown[0]?.run_id ?? "";
  const filtered = Object.values(filter).some((v) => v !== undefined);
  useEvents(
    useCallback(
      (events: LiveEvent[]) => {
        const runs = events.filter((e) => e.kind === "run");
        if (!runs.length) return;
        setChanged(
          (old) =>
            new Map([
              ...old,
              ...runs.filter((e) => known.has(e.run_id!)).map((e) => [e.run_id!, e.data as Partial<Run>] as const),
            ]),
        );
        // Ids are ordered by time: a greater one than the newest is of a new run.
        const added = filtered
          ? []
          : runs.filter((e) => e.run_id! > newest && !known.has(e.run_id!)).map((e) => e.run_id!);
        if (added.length) setFresh((old) => new Set([...old, ...added]));
      },
      [newest, shown.length, filtered],
    ),
  );
  return {
    count: fresh.size,
    show: () => setFresh(new Set()),
    latest: (r: Run): Run => (changed.has(r.run_id) ? { ...r, ...changed.get(r.run_id) } : r),
  };
}
