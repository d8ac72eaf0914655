/** The steps of a run as a graph: what began after what had ended. History holds no other order, and claims none. */
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
  /** Where one calls the other, and where it only usually comes next. */
  look: "after" | "inside" | "usual";
}
const timeOf = (row: Row, end: number): [number, number] => {
  if (row.type === "step") return [row.node.from, row.node.to ?? end];
  return row.type === "fanout" ? [row.fanout.from, row.fanout.to] : [end, end];
};

/** Rows as a tree again. What usually comes next is left out: it is no part of the run. */
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
const AT_ONCE = 5; // milliseconds between calls that were made together
const ended = (s: Vertex, vertex: Vertex) =>
  s.to <= vertex.from || (s.row.type === "step" && s.row.node.local && s.from + AT_ONCE < vertex.from);
/** Those that ended before it began, without those that had ended before one of the others began. */
function before(vertex: Vertex, siblings: Vertex[]): Vertex[] {
  const done = siblings.filter((s) => s !== vertex && s.from < vertex.from && ended(s, vertex));
  return done.filter((s) => !done.some((later) => later.from > s.from && ended(s, later)));
}
/** Those of a group that nothing of it follows; of one that has others inside, the last of these. */
function ends(siblings: Vertex[]): Vertex[] {
  const followed = new Set(siblings.flatMap((s) => before(s, siblings)));
  return siblings.filter((s) => !followed.has(s)).flatMap((s) => (s.children.length ? ends(s.children) : [s]));
}
export function edges(roots: Vertex[], usual: string[] = []): Edge[] {
  const found: Edge[] = [];
  const level = (siblings: Vertex[], parent?: Vertex) => {
    for (const vertex of siblings) {
      const earlier = before(vertex, siblings);
      for (const e of earlier.flatMap((s) => (s.children.length ? ends(s.children) : [s])))
        found.push({ from: e.key, to: vertex.key, look: "after" });
      if (!earlier.length && parent) found.push({ from: parent.key, to: vertex.key, look: "inside" });
      level(vertex.children, vertex);
    }
  };
  level(roots);
  for (const last of ends(roots)) for (const key of usual) found.push({ from: last.key, to: key, look: "usual" });
  return found;
}
export const flat = (roots: Vertex[]): Vertex[] => roots.flatMap((v) => [v, ...flat(v.children)]);
