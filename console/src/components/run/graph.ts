/** The steps of a run as a graph: an edge means that one step started after another had ended. History has no other order. */
import type { Row } from "../timeline/rows";

interface Vertex {
  key: string;
  row: Row;
  from: number;
  to: number;
  children: Vertex[];
}
export interface Edge {
  from: string;
  to: string;
  /** `inside`: one calls the other; `usual`: it usually comes next. */
  look: "after" | "inside" | "usual";
}
const timeOf = (row: Row, end: number): [number, number] => {
  if (row.type === "step") return [row.node.from, row.node.to ?? end];
  return row.type === "fanout" ? [row.fanout.from, row.fanout.to] : [end, end];
};

/** Rebuilds the tree from the rows, without the steps that usually come next: they aren't part of the run. */
export function vertices(rows: Row[], end: number): Vertex[] {
  const roots: Vertex[] = [];
  const path: Vertex[] = [];
  for (const row of rows) {
    if (row.type === "usual" || row.type === "rest") continue;
    const [from, to] = timeOf(row, end);
    const vertex = { key: row.key, row, from, to, children: [] };
    path.length = row.depth;
    (path.at(-1)?.children ?? roots).push(vertex);
    path.push(vertex);
  }
  return roots;
}
const AT_ONCE = 5; // milliseconds within which calls count as made together
const ended = (s: Vertex, vertex: Vertex) =>
  s.to <= vertex.from || (s.row.type === "step" && s.row.node.local && s.from + AT_ONCE < vertex.from);
/** The siblings that ended before it started, except those that another of them already follows. */
function before(vertex: Vertex, siblings: Vertex[]): Vertex[] {
  const done = siblings.filter((s) => s !== vertex && s.from < vertex.from && ended(s, vertex));
  return done.filter((s) => !done.some((later) => later.from > s.from && ended(s, later)));
}
/** The siblings without a successor; for one with children, the ends of its children. */
function ends(siblings: Vertex[]): Vertex[] {
  const followed = new Set(siblings.flatMap((s) => before(s, siblings)));
  return siblings.filter((s) => !followed.has(s)).flatMap((s) => (s.children.length ? ends(s.children) : [s]));
}
export function edges(roots: Vertex[], usual: string[] = []): Edge[] {
  const result: Edge[] = [];
  const level = (siblings: Vertex[], parent?: Vertex) => {
    for (const vertex of siblings) {
      const earlier = before(vertex, siblings);
      for (const e of earlier.flatMap((s) => (s.children.length ? ends(s.children) : [s])))
        result.push({ from: e.key, to: vertex.key, look: "after" });
      if (!earlier.length && parent) result.push({ from: parent.key, to: vertex.key, look: "inside" });
      level(vertex.children, vertex);
    }
  };
  level(roots);
  for (const last of ends(roots)) for (const key of usual) result.push({ from: last.key, to: key, look: "usual" });
  return result;
}
export const flat = (roots: Vertex[]): Vertex[] => roots.flatMap((v) => [v, ...flat(v.children)]);
