import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useLocation } from "@tanstack/react-router";
import type { Overview } from "../api/client";
import * as q from "../api/queries";

/** The overview's figures, for every page. The overview page gets its lists in the same response: one request for both. */
export function useOverview(): UseQueryResult<Overview> {
  const lists = useLocation().pathname === "/";
  return useQuery({ ...q.me.overview(lists), placeholderData: keepPreviousData });
}
