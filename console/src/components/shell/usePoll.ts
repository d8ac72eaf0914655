import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Overview } from "../../api/client";
import { later } from "../../live/stream";

// No event reports that Temporal or the projector is away, or back.
const WELL = 10_000;
const UNWELL = 3_000;
const HOLDS_UP = new Set<string>(["temporal_away", "projection_behind"]);

/** Read the overview now and then, also where nothing happens: no event reports some of its conditions. */
export function usePoll(overview: Overview | undefined) {
  const queries = useQueryClient();
  const held = overview?.conditions.some((c) => HOLDS_UP.has(c.kind)) ?? false;
  useEffect(() => {
    const timer = setInterval(() => later(queries, ["overview"]), held ? UNWELL : WELL);
    return () => clearInterval(timer);
  }, [held]);
}
