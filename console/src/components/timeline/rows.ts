/** The tree of steps as rows: agents over their turns and calls, a fan-out as one row with its failures first. */
import type { StepGroup, UsualStep } from "../../api/client";
import { words } from "../../format";
import type { Node } from "./model";

export interface Fanout {
  key: string;
  name: string;
  title: string;
  count: number;
  done: number;
  failed: number;
  from: number;
  to: number;
  /** How many ran, over its time; and in which of them one failed. */
  bins: number[];
  failedBins: boolean[];
}
export type Row =
  | { type: "step"; key: string; depth: number; node: Node; kids: boolean; open: boolean }
  | { type: "fanout"; key: string; depth: number; fanout: Fanout; open: boolean }
  | { type: "rest"; key: string; depth: number; fanout: Fanout; open: boolean }
  | { type: "usual"; key: string; depth: number; usual: UsualStep; of: number; open: false };

export const FANOUT = 12; // so many equal siblings in a row are folded
const BINS = 60;

/** Runs of equal siblings, each with at least `FANOUT` of them, among steps of one parent. */
function groups(siblings: Node[]): Node[][] {
  const found: Node[][] = [];
  for (const node of siblings) {
    const last = found.at(-1);
    const like = last?.[0];
    if (like && like.kind === node.kind && like.name === node.name && node.kind !== "agent") last.push(node);
    else found.push([node]);
  }
  return found.flatMap((g) => (g.length < FANOUT ? g.map((n) => [n]) : [g]));
}
export function fanoutOf(nodes: Node[], now: number): Fanout {
  const from = Math.min(...nodes.map((n) => n.from));
  const to = Math.max(...nodes.map((n) => n.to ?? now), from + 1);
  const bins = Array.from({ length: BINS }, () => 0);
  const failedBins = Array.from({ length: BINS }, () => false);
  const bin = (t: number) => Math.min(BINS - 1, Math.max(0, Math.floor(((t - from) / (to - from)) * BINS)));
  let done = 0;
  let failed = 0;
  for (const n of nodes) {
    for (let b = bin(n.from); b <= bin(n.to ?? now); b += 1) bins[b]! += 1;
    if (n.status === "completed") done += 1;
    if (n.status === "failed" || n.status === "timed_out") {
      failed += 1;
      failedBins[bin(n.to ?? now)] = true;
    }
  }
  return {
    key: `fanout.${nodes[0]!.key}`,
    name: nodes[0]!.name,
    title: nodes[0]!.title,
    count: nodes.length,
    done,
    failed,
    from,
    to,
    bins,
    failedBins,
  };
}

/** A fan-out that the server has folded, in a run with more steps than a page holds. */
export function groupOf(g: StepGroup): Fanout {
  return {
    key: `group.${g.execution_id}.${g.first}`,
    name: g.name,
    title: words(g.name),
    count: g.count,
    done: g.done,
    failed: g.failed,
    from: Date.parse(g.first_at),
    to: Math.max(Date.parse(g.last_at), Date.parse(g.first_at) + 1),
    bins: g.bins.map((b) => b.done + b.failed + b.open),
    failedBins: g.bins.map((b) => b.failed > 0),
  };
}
export const groupRows = (groups: StepGroup[]): Row[] =>
  groups.map((g) => ({
    type: "fanout",
    key: `group.${g.execution_id}.${g.first}`,
    depth: 0,
    fanout: groupOf(g),
    open: false,
  }));
/** What usually comes next, from earlier runs of the version. */
export const usualRows = (steps: UsualStep[], of: number): Row[] =>
  steps.map((usual) => ({ type: "usual", key: `usual.${usual.kind}.${usual.name}`, depth: 0, usual, of, open: false }));

/** `closed`: what the reader folded. `opened`: fan-outs that are open, and their rests (`rest.…`). */
export function toRows(nodes: Node[], closed: ReadonlySet<string>, opened: ReadonlySet<string>, now: number): Row[] {
  const children = new Map<string | null, Node[]>();
  const known = new Set(nodes.map((n) => n.key));
  for (const n of nodes) {
    const parent = n.parent !== null && known.has(n.parent) ? n.parent : null;
    const list = children.get(parent);
    if (list) list.push(n);
    else children.set(parent, [n]);
  }
  const rows: Row[] = [];
  const put = (node: Node, depth: number) => {
    const own = children.get(node.key) ?? [];
    const open = !closed.has(node.key);
    rows.push({ type: "step", key: node.key, depth, node, kids: own.length > 0, open });
    if (open) level(own, depth + 1);
  };
  const level = (siblings: Node[], depth: number) => {
    for (const group of groups(siblings)) {
      if (group.length === 1) {
        put(group[0]!, depth);
        continue;
      }
      const fanout = fanoutOf(group, now);
      const open = opened.has(fanout.key);
      rows.push({ type: "fanout", key: fanout.key, depth, fanout, open });
      if (!open) continue;
      group.filter((n) => n.status !== "completed").forEach((n) => put(n, depth + 1));
      const rest = `rest.${fanout.key}`;
      if (fanout.done) rows.push({ type: "rest", key: rest, depth: depth + 1, fanout, open: opened.has(rest) });
      if (opened.has(rest)) group.filter((n) => n.status === "completed").forEach((n) => put(n, depth + 1));
    }
  };
  level(children.get(null) ?? [], 0);
  return rows;
}
