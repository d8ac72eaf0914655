import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import type { Overview } from "../api/client";
import * as q from "../api/queries";

// Milliseconds between two looks: no event says that Temporal or the projector is away, or back.
const WELL = 10_000;
const UNWELL = 3_000;
const HOLDS_UP = new Set(["temporal_away", "projection_behind"]);

/**
 * The figures, for everything on the page. Where the page is the overview, its lists come in the same answer: one request for all.
 * poll: ask again from time to time; one caller a page does it for all.
 */
export function useOverview({ poll = false } = {}): UseQueryResult<Overview> {
  const lists = useLocation().pathname === "/";
  return useQuery({
    ...q.me.overview(lists),
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => poll && (state.data?.conditions.some((c) => HOLDS_UP.has(c.kind)) ? UNWELL : WELL),
  });
}
