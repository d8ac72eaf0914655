import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import type { Overview } from "../api/client";
import * as q from "../api/queries";

/** The figures, for everything on the page. Where the page is the overview, its lists come in the same answer: one request for all. */
export function useOverview(): UseQueryResult<Overview> {
  const lists = useLocation().pathname === "/";
  return useQuery({ ...q.me.overview(lists), placeholderData: keepPreviousData });
}
