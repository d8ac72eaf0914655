/** The tree of steps as rows: agents above their turns and calls, a fan-out as one row with its failures first. */
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
  /** The number of running calls in each time bin, and whether one failed in it. */
  bins: number[];
  failedBins: boolean[];
}
export type Row =
  | { type: "step"; key: string; depth: number; node: Node; kids: boolean; open: boolean }
  | { type: "fanout"; key: string; depth: number; fanout: Fanout; open: boolean; inside: Node[] }
  | { type: "rest"; key: string; depth: number; fanout: Fanout; open: boolean }
  | { type: "usual"; key: string; depth: number; usual: UsualStep; of: number; open: false };

export const FANOUT = 12; // this many equal siblings in a row are folded
const BINS = 60;

/** Groups consecutive equal siblings, if there are at least `FANOUT` of them. */
function groups(siblings: Node[]): Node[][] {
  const result: Node[][] = [];
  for (const node of siblings) {
    const last = result.at(-1);
    const example = last?.[0];
    if (example && example.kind === node.kind && example.name === node.name && node.kind !== "agent") last.push(node);
    else result.push([node]);
  }
  return result.flatMap((g) => (g.length < FANOUT ? g.map((n) => [n]) : [g]));
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

/** A fan-out folded by the server, in a run with more steps than one page holds. */
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

/** The groups folded by the server, and the steps of those that were expanded, by the group's key. */
export interface Folded {
  groups: StepGroup[];
  inside: ReadonlyMap<string, Node[]>;
}
const add = <T>(to: Map<string | null, T[]>, key: string | null, item: T) => {
  const list = to.get(key);
  if (list) list.push(item);
  else to.set(key, [item]);
};
/** Steps and groups by parent. A step whose parent isn't in the response is at the top level. */
function tree(nodes: Node[], { groups: all, inside }: Folded) {
  const keys = new Set(nodes.map((n) => n.key));
  const members = new Map<string, Node[]>();
  const extra: Node[] = [];
  const folded = new Map<string | null, Fanout[]>();
  for (const g of all) {
    const fresh = (inside.get(groupKey(g)) ?? []).filter((n) => !keys.has(n.key));
    const own = fresh.filter((n) => n.kind === g.kind && n.name === g.name && n.parent === parentOf(g));
    members.set(groupKey(g), own);
    extra.push(...fresh.filter((n) => !own.includes(n)));
    for (const n of fresh) keys.add(n.key);
    add(folded, parentOf(g), groupOf(g));
  }
  const children = new Map<string | null, Node[]>();
  for (const n of [...nodes, ...extra]) add(children, n.parent !== null && keys.has(n.parent) ? n.parent : null, n);
  return { children, folded, members };
}

/** The key of the row that holds the completed steps of a fan-out. */
export const restOf = (fanout: Fanout) => `rest.${fanout.key}`;
/** `closed`: steps the user collapsed. `opened`: expanded fan-outs, and their rows of completed steps (`rest.…`). */
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
