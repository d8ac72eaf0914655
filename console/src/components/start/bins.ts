import type { WorkflowFigures } from "../../api/client";
import { brief } from "../../format";

type Bin = WorkflowFigures["durations"][number];

/** The bins from the first to the last one with runs; empty bins outside that range are dropped. */
export function shownBins(bins: Bin[]): Bin[] {
  const full = bins.map((b) => b.count > 0);
  return bins.slice(Math.max(0, full.indexOf(true)), full.lastIndexOf(true) + 1);
}
const edge = (seconds: number) => (seconds < 1 ? `${seconds * 1000} ms` : brief(seconds * 1000));
/** The range of a bin in words: `1 to 3 s`, `30 s to 1 m`, `under 100 ms`, `over 1 d`. */
export function bounds({ from_seconds, to_seconds }: Bin): string {
  if (to_seconds == null) return `over ${edge(from_seconds)}`;
  if (!from_seconds) return `under ${edge(to_seconds)}`;
  const [from, to] = [edge(from_seconds), edge(to_seconds)];
  const [value, unit] = from.split(" ");
  return to.endsWith(` ${unit}`) ? `${value} to ${to}` : `${from} to ${to}`;
}
