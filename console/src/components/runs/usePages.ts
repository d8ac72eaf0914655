import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import type { Run } from "../../api/client";
import * as q from "../../api/queries";
import { filterOf, type Values } from "../../runs";

const KEPT = 3; // pages refetched on return to the list
/** How many runs can be selected. */
export const MOST = 200;

/** The pages loaded so far, newest first. Nothing is refetched while they are shown. */
export function usePages(values: Values, enabled: boolean) {
  const queries = useQueryClient();
  const query = q.runs.pages(filterOf(values));
  const key = JSON.stringify(query.queryKey);
  const pages = useInfiniteQuery({ ...query, enabled });
  useEffect(
    () => () => {
      queries.setQueryData(
        query.queryKey,
        (old) => old && { pages: old.pages.slice(0, KEPT), pageParams: old.pageParams.slice(0, KEPT) },
      );
    },
    [key],
  );
  return { ...pages, restart: () => void queries.resetQueries({ queryKey: query.queryKey, exact: true }) };
}

/** The selected runs by id; null outside selection mode. */
export function useSelection() {
  const [chosen, setChosen] = useState<Map<string, Run> | null>(null);
  const last = useRef(-1);
  return {
    chosen,
    setChosen,
    /** With Shift, the whole range from the last one to this one. */
    flip(runs: Run[], at: number, range: boolean) {
      const next = new Map(chosen);
      const from = range && last.current >= 0 ? last.current : at;
      const add = !next.has(runs[at]!.run_id);
      for (const r of runs.slice(Math.min(from, at), Math.max(from, at) + 1))
        if (!add) next.delete(r.run_id);
        else if (next.size < MOST) next.set(r.run_id, r);
      last.current = at;
      setChosen(next);
    },
  };
}
