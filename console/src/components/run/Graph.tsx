import { graphlib, layout } from "@dagrejs/dagre";
import {
  Controls,
  Handle,
  MarkerType,
  Position,
  ReactFlow,
  type Edge as Line,
  type Node as Place,
  type NodeProps,
  type ReactFlowInstance,
} from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useMemo, useRef } from "react";
import type { Timeline } from "../../api/client";
import { count, span } from "../../format";
import { KIND, STATUS, StatusIcon } from "../../status";
import type { Node } from "../timeline/model";
import { toRows, usualRows, type Folded, type Row } from "../timeline/rows";
import { edges, flat, vertices } from "./graph";
import { Text } from "../Text";
import { visible } from "../../unseen";
import classes from "./Graph.module.css";

const WIDTH = 208;
const HEIGHT = 46;
const MOST = 400; // nodes; beyond that a graph shows nothing that a table doesn't
const READABLE = 0.7; // the smallest zoom at which labels can be read
const NONE: ReadonlySet<string> = new Set();

/** The text of a node, also for screen readers. */
function wordsOf(row: Row, end: number): { title: string; detail: string } {
  if (row.type === "step") {
    const { node } = row;
    const took = span((node.to ?? end) - node.from);
    const tries = node.attempts > 1 ? `, ${node.attempts} attempts` : "";
    return { title: node.title, detail: `${node.label ? `${node.label}, ` : ""}${took}${tries}` };
  }
  if (row.type === "fanout")
    return {
      title: `${row.fanout.title} × ${count(row.fanout.count)}`,
      detail: `${count(row.fanout.done)} done${row.fanout.failed ? `, ${count(row.fanout.failed)} failed` : ""}`,
    };
  return row.type === "usual"
    ? { title: row.usual.title ?? row.usual.name, detail: `usually next, ${row.usual.count} of ${row.of} runs` }
    : { title: "", detail: "" };
}
const statusOf = (row: Row) =>
  row.type === "step" ? row.node.status : row.type === "fanout" && row.fanout.failed ? "failed" : "completed";

type Shown = Place<{ row: Row; end: number }, "step">;
function StepPlace({ data: { row, end }, selected }: NodeProps<Shown>) {
  const { title, detail } = wordsOf(row, end);
  const status = statusOf(row);
  const { Icon } = KIND[row.type === "step" ? row.node.kind : row.type === "usual" ? row.usual.kind : "tool"];
  return (
    <div
      className={classes.place}
      data-on={selected || undefined}
      data-status={status}
      data-usual={row.type === "usual" || undefined}
    >
      <Handle type="target" position={Position.Top} isConnectable={false} />
      <span className={classes.icon}>
        {status === "completed" ? (
          <Icon size={15} strokeWidth={1.8} aria-hidden />
        ) : (
          <StatusIcon status={status} size={15} />
        )}
      </span>
      <b className="cut">
        <Text>{title}</Text>
      </b>
      <span className="cut">
        <Text>{detail}</Text>
      </span>
      <Handle type="source" position={Position.Bottom} isConnectable={false} />
    </div>
  );
}
const TYPES = { step: StepPlace };

interface Props {
  nodes: Node[];
  folded: Folded;
  usual?: Timeline["usual_next"];
  /** The end of the run, or now, in milliseconds. */
  end: number;
  selected?: string;
  onSelect(key: string): void;
}
/** The graph of a run, loaded on demand. The timeline shows the same as a table, for screen readers. */
export default function Graph({ nodes, folded, usual, end, selected, onSelect }: Props) {
  const box = useRef<HTMLElement>(null);
  // The layout changes with the steps, not with every second of a running one.
  const drawn = useMemo(() => {
    const all = toRows(nodes, NONE, NONE, end, folded);
    const roots = vertices(all.slice(0, MOST), end);
    const next = usualRows(usual?.steps ?? [], usual?.runs ?? 0);
    const rows = [...flat(roots).map((v) => v.row), ...next];
    const lines = edges(
      roots,
      next.map((r) => r.key),
    );
    const g = new graphlib.Graph();
    g.setGraph({ rankdir: "TB", nodesep: 16, ranksep: 34, marginx: 24, marginy: 24 });
    g.setDefaultEdgeLabel(() => ({}));
    for (const { key } of rows) g.setNode(key, { width: WIDTH, height: HEIGHT });
    for (const e of lines) g.setEdge(e.from, e.to);
    layout(g);
    const at = new Map(rows.map(({ key }) => [key, g.node(key) as { x: number; y: number }]));
    const { width = 0, height = 0 } = g.graph();
    return { rows, left: Math.max(0, all.length - MOST), lines, at, width, height };
  }, [nodes, folded, usual]);
  const places = drawn.rows.map((row): Shown => {
    const { title, detail } = wordsOf(row, end);
    const at = drawn.at.get(row.key)!;
    return {
      id: row.key,
      type: "step",
      position: { x: at.x - WIDTH / 2, y: at.y - HEIGHT / 2 },
      width: WIDTH,
      height: HEIGHT,
      data: { row, end },
      selected: row.key === selected,
      selectable: row.type === "step",
      focusable: row.type === "step",
      ariaLabel: `${visible(title)}, ${STATUS[statusOf(row)].word}, ${visible(detail)}`,
    };
  });
  /** Fit the whole graph if that stays readable; otherwise centre the selected step, or show the start. */
  function open(flow: Pick<ReactFlowInstance, "setViewport">) {
    const { clientWidth, clientHeight } = box.current!;
    const zoom = Math.min(1, Math.max(READABLE, Math.min(clientWidth / drawn.width, clientHeight / drawn.height)));
    const spare = { x: clientWidth - drawn.width * zoom, y: clientHeight - drawn.height * zoom };
    const at = drawn.at.get(selected ?? "");
    const x = spare.x >= 0 || !at ? spare.x / 2 : clientWidth / 2 - at.x * zoom;
    const y = spare.y >= 0 ? spare.y / 2 : at ? clientHeight / 2 - at.y * zoom : 0;
    void flow.setViewport({ x, y: Math.min(y, Math.max(0, spare.y / 2)), zoom });
  }
  return (
    <section ref={box} className={classes.graph} aria-label="Graph of the steps">
      <ReactFlow
        nodes={places}
        edges={drawn.lines.map((e): Line => ({
          id: `${e.from}>${e.to}`,
          source: e.from,
          target: e.to,
          className: classes[e.look],
          focusable: false,
          markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14 },
        }))}
        nodeTypes={TYPES}
        onNodesChange={(changes) => {
          for (const c of changes) if (c.type === "select" && c.selected) onSelect(c.id);
        }}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        deleteKeyCode={null}
        onInit={open}
        minZoom={0.1}
        proOptions={{ hideAttribution: true }}
        ariaLabelConfig={{
          "node.a11yDescription.default": "Enter opens the step.",
          "node.a11yDescription.keyboardDisabled": "Enter opens the step.",
        }}
      >
        <Controls showInteractive={false} />
      </ReactFlow>
      <p className={classes.legend}>
        Arrows lead from a finished step to the next; dotted arrows lead into an agent.
        {drawn.left > 0 && ` ${count(drawn.left)} more steps are only in the timeline.`}
      </p>
    </section>
  );
}
