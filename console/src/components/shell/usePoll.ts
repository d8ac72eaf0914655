import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Overview } from "../../api/client";
import { invalidateLater } from "../../live/stream";

// No event reports that Temporal or the projector went down or came back.
const POLL_HEALTHY = 10_000;
const POLL_DEGRADED = 3_000;
const AT_ONCE = 0;
const DEGRADED = new Set<string>(["temporal_away", "projection_behind"]);

/** Polls the overview, because no event reports some of its conditions. A hidden tab waits until it is visible. */
export function usePoll(overview: Overview | undefined) {
  const queries = useQueryClient();
  const degraded = overview?.conditions.some((c) => DEGRADED.has(c.kind)) ?? false;
  useEffect(() => {
    const read = () => document.hidden || invalidateLater(queries, ["overview"], false, AT_ONCE);
    const timer = setInterval(read, degraded ? POLL_DEGRADED : POLL_HEALTHY);
    document.addEventListener("visibilitychange", read);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", read);
    };
  }, [degraded]);
}
