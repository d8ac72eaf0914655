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
  | { type: "fanout"; key: string; depth: number; fanout: Fanout; open: boolean; inside: Node[] }
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
function fanoutOf(nodes: Node[], now: number): Fanout {
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
export const groupOf = (g: StepGroup): Fanout => ({
  key: groupKey(g),
  name: g.name,
  title: words(g.name),
  count: g.count,
  done: g.done,
  failed: g.failed,
  from: Date.parse(g.first_at),
  to: Math.max(Date.parse(g.last_at), Date.parse(g.first_at) + 1),
  bins: g.bins.map((b) => b.done + b.failed + b.open),
  failedBins: g.bins.map((b) => b.failed > 0),
});
export const groupKey = (g: Pick<StepGroup, "execution_id" | "first">) => `group.${g.execution_id}.${g.first}`;
const parentOf = (g: StepGroup) => (g.parent == null ? null : `${g.execution_id}.${g.parent}`);
/** What usually comes next, from earlier runs of the version. */
export const usualRows = (steps: UsualStep[], of: number): Row[] =>
  steps.map((usual) => ({ type: "usual", key: `usual.${usual.kind}.${usual.name}`, depth: 0, usual, of, open: false }));

/** What the server has folded, and of what was unfolded the steps, by the key of its group. */
export interface Folded {
  groups: StepGroup[];
  inside: ReadonlyMap<string, Node[]>;
}
const add = <T>(to: Map<string | null, T[]>, key: string | null, item: T) => {
  const list = to.get(key);
  if (list) list.push(item);
  else to.set(key, [item]);
};
/** Steps and groups by what they belong to. A step whose parent isn’t in the answer is at the top. */
function tree(nodes: Node[], { groups: all, inside }: Folded) {
  const known = new Set(nodes.map((n) => n.key));
  const members = new Map<string, Node[]>();
  const extra: Node[] = [];
  const folded = new Map<string | null, Fanout[]>();
  for (const g of all) {
    const fresh = (inside.get(groupKey(g)) ?? []).filter((n) => !known.has(n.key));
    const own = fresh.filter((n) => n.kind === g.kind && n.name === g.name && n.parent === parentOf(g));
    members.set(groupKey(g), own);
    extra.push(...fresh.filter((n) => !own.includes(n)));
    for (const n of fresh) known.add(n.key);
    add(folded, parentOf(g), groupOf(g));
  }
  const children = new Map<string | null, Node[]>();
  for (const n of [...nodes, ...extra]) add(children, n.parent !== null && known.has(n.parent) ? n.parent : null, n);
  return { children, folded, members };
}

/** The key of the row under which those are that are done. */
export const restOf = (fanout: Fanout) => `rest.${fanout.key}`;
/** `closed`: what the reader folded. `opened`: fan-outs that are open, and their rests (`rest.…`). */
export function toRows(
  nodes: Node[],
  closed: ReadonlySet<string>,
  opened: ReadonlySet<string>,
  now: number,
  hidden: Folded = { groups: [], inside: new Map() },
): Row[] {
  const { children, folded, members } = tree(nodes, hidden);
  const rows: Row[] = [];
  const put = (node: Node, depth: number) => {
    const kids = children.has(node.key) || folded.has(node.key);
    const open = !closed.has(node.key);
    rows.push({ type: "step", key: node.key, depth, node, kids, open });
    if (open && kids) level(node.key, depth + 1);
  };
  const fan = (fanout: Fanout, inside: Node[], depth: number) => {
    const open = opened.has(fanout.key);
    rows.push({ type: "fanout", key: fanout.key, depth, fanout, open, inside });
    if (!open) return;
    inside.filter((n) => n.status !== "completed").forEach((n) => put(n, depth + 1));
    const done = inside.filter((n) => n.status === "completed");
    const rest = restOf(fanout);
    if (done.length) rows.push({ type: "rest", key: rest, depth: depth + 1, fanout, open: opened.has(rest) });
    if (opened.has(rest)) done.forEach((n) => put(n, depth + 1));
  };
  const level = (parent: string | null, depth: number) => {
    const waiting = [...(folded.get(parent) ?? [])];
    const before = (time: number) => {
      while (waiting.length && waiting[0]!.from <= time) {
        const next = waiting.shift()!;
        fan(next, members.get(next.key) ?? [], depth);
      }
    };
    for (const group of groups(children.get(parent) ?? [])) {
      before(group[0]!.from);
      if (group.length === 1) put(group[0]!, depth);
      else fan(fanoutOf(group, now), group, depth);
    }
    before(Infinity);
  };
  level(null, 0);
  return rows;
}
