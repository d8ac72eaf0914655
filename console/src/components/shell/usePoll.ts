import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Overview } from "../../api/client";
import { later } from "../../live/stream";

// No event reports that Temporal or the projector is away, or back.
const WELL = 10_000;
const UNWELL = 3_000;
const AT_ONCE = 0;
const HOLDS_UP = new Set<string>(["temporal_away", "projection_behind"]);

/** Read the overview now and then, also where nothing happens: no event reports some of its conditions. A hidden tab waits until it is looked at. */
export function usePoll(overview: Overview | undefined) {
  const queries = useQueryClient();
  const held = overview?.conditions.some((c) => HOLDS_UP.has(c.kind)) ?? false;
  useEffect(() => {
    const read = () => document.hidden || later(queries, ["overview"], false, AT_ONCE);
    const timer = setInterval(read, held ? UNWELL : WELL);
    document.addEventListener("visibilitychange", read);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", read);
    };
  }, [held]);
}
