/** Maps time to the width of the axis. Long idle gaps are folded, so that hours of waiting don't flatten the work. */
import type { Node } from "./model";

interface Segment {
  from: number;
  to: number;
  x0: number;
  x1: number;
  idle: boolean;
}
export interface Scale {
  /** Milliseconds since the epoch to 0..1. */
  x(t: number): number;
  segments: Segment[];
  /** `t` in milliseconds since the start. */
  ticks: { t: number; x: number }[];
}
const IDLE_WIDTH = 0.2; // share of the axis for one folded gap
const FOLDS_FROM = 30_000; // milliseconds; a gap must also be over a quarter of the axis
const TICKS = 6;
const STEPS = [
  100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1800e3, 3600e3, 7200e3, 21600e3, 86400e3,
];

export function makeScale(nodes: Node[], start: number, end: number, fold: boolean): Scale {
  const busy = nodes
    .filter((n) => n.kind !== "agent")
    .flatMap((n) => n.tries.map((t) => [t.from, t.to ?? end] as const))
    .sort((a, b) => a[0] - b[0]);
  const all = Math.max(1, end - start);
  const folds = (gap: number) => fold && gap > FOLDS_FROM && gap > all / 4;
  const spans: { from: number; to: number; idle: boolean }[] = [];
  let from = start;
  let to = start;
  for (const [a, b] of busy) {
    if (folds(a - to)) {
      spans.push({ from, to, idle: false }, { from: to, to: a, idle: true });
      from = a;
    }
    to = Math.max(to, b);
  }
  if (folds(end - to)) spans.push({ from, to, idle: false }, { from: to, to: end, idle: true });
  else spans.push({ from, to: end, idle: false });
  // Gaps share the axis with the work; if nothing ran at all, they take all of it.
  const idles = spans.filter((s) => s.idle).length;
  const work = spans.filter((s) => !s.idle).reduce((n, s) => n + s.to - s.from, 0);
  const idleWidth = !work && idles ? 1 / idles : Math.min(IDLE_WIDTH, 0.6 / Math.max(1, idles));
  let x = 0;
  const segments = spans.map((s) => {
    const width = s.idle ? idleWidth : work ? ((s.to - s.from) / work) * (1 - idles * idleWidth) : idles ? 0 : 1;
    const segment = { ...s, x0: x, x1: x + width };
    x += width;
    return segment;
  });
  const at = (t: number) => {
    const s = segments.find((g) => t <= g.to) ?? segments.at(-1)!;
    return Math.min(1, Math.max(0, s.x0 + ((t - s.from) / (s.to - s.from || 1)) * (s.x1 - s.x0)));
  };
  const step = STEPS.find((s) => (work || all) / s <= TICKS) ?? (work || all) / TICKS;
  const ticks = segments
    .filter((s) => !s.idle && s.x1 > s.x0)
    .flatMap((s) => {
      const inSegment = [];
      for (
        let t = Math.ceil((s.from - start) / step) * step;
        start + t < s.to || (t === 0 && !inSegment.length);
        t += step
      )
        inSegment.push({ t, x: at(start + t) });
      return inSegment;
    });
  return { x: at, segments, ticks };
}
