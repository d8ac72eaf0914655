import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { span, tokens, usd } from "../../format";
import type { Timeline as Data } from "../../api/client";
import type { Node } from "./model";
import { Name } from "./Name";
import { restOf, toRows, usualRows, type Folded, type Row } from "./rows";
import { makeScale, type Scale } from "./scale";
import classes from "./Timeline.module.css";
import { Track } from "./Track";

const ROW = 32; // pixels
interface Props {
  nodes: Node[];
  folded?: Folded;
  usual?: Data["usual_next"];
  start: number;
  end: number;
  live: boolean;
  fold: boolean;
  selected?: string;
  onSelect(key: string): void;
  onRows(n: number): void;
  /** A fan-out folded by the server was expanded: its steps are needed. */
  onUnfold?(key: string): void;
}

function Axis({ scale, spent }: { scale: Scale; spent: boolean }) {
  return (
    <div className={classes.axis} aria-hidden>
      <span className={classes.stepHead}>Step</span>
      {spent && (
        <>
          <span>Tokens</span>
          <span>Cost</span>
        </>
      )}
      <span data-took>Took</span>
      <div className={classes.track}>
        {scale.ticks.map((k) => (
          <i key={k.t} style={{ left: `${k.x * 100}%` }}>
            {k.t === 0 ? "0" : span(k.t).replace(/ 00 s$/, "")}
          </i>
        ))}
        {scale.segments
          .filter((s) => s.idle)
          .map((s) => (
            <em key={s.from} style={{ left: `${s.x0 * 100}%`, width: `${(s.x1 - s.x0) * 100}%` }}>
              {span(s.to - s.from)}
            </em>
          ))}
      </div>
    </div>
  );
}
function Lines({ scale, live }: { scale: Scale; live: boolean }) {
  return (
    <div className={classes.grid} aria-hidden>
      <div className={classes.track}>
        {scale.ticks.map((k) => (
          <i key={k.t} style={{ left: `${k.x * 100}%` }} />
        ))}
        {scale.segments
          .filter((s) => s.idle)
          .map((s) => (
            <b key={s.from} style={{ left: `${s.x0 * 100}%`, width: `${(s.x1 - s.x0) * 100}%` }} />
          ))}
        {live && <u />}
      </div>
    </div>
  );
}
const took = (row: Row, end: number) =>
  row.type === "step"
    ? (row.node.to ?? end) - row.node.from
    : row.type === "fanout"
      ? row.fanout.to - row.fanout.from
      : undefined;
function Figures({ row, spent, end }: { row: Row; spent: boolean; end: number }) {
  const node = row.type === "step" ? row.node : undefined;
  const t = took(row, end);
  return (
    <>
      {spent && (
        <>
          <span role="gridcell" className={classes.fig}>
            {node?.tokens !== undefined && (
              <>
                {tokens(node.tokens)}
                <span className="visually-hidden"> tokens</span>
              </>
            )}
          </span>
          <span role="gridcell" className={classes.fig}>
            {node?.tokens !== undefined && (node.usd != null ? usd(node.usd, 3) : "unpriced")}
          </span>
        </>
      )}
      <span role="gridcell" className={classes.fig} data-took>
        {t !== undefined && <span className="visually-hidden">took </span>}
        {t !== undefined && span(t)}
      </span>
    </>
  );
}
const toggled = (set: ReadonlySet<string>, key: string) => {
  const next = new Set(set);
  if (!next.delete(key)) next.add(key);
  return next;
};

/** A virtualised tree grid of HTML rows with one time axis; a step's usage is beside it in figures. */
export function Timeline(p: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(
    () => [...toRows(p.nodes, closed, opened, p.end, p.folded), ...usualRows(p.usual?.steps ?? [], p.usual?.runs ?? 0)],
    [p.nodes, p.folded, p.usual, closed, opened, p.end],
  );
  const scale = useMemo(() => makeScale(p.nodes, p.start, p.end, p.fold), [p.nodes, p.start, p.end, p.fold]);
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 10,
  });
  useEffect(() => p.onRows(rows.length), [rows.length]);
  const spent = p.nodes.some((n) => n.tokens !== undefined);
  const at = Math.max(
    0,
    rows.findIndex((r) => r.key === p.selected),
  );
  useEffect(() => {
    for (const r of rows) {
      const chosen = r.type === "fanout" && r.inside.find((n) => n.key === p.selected);
      if (chosen)
        setOpened((o) => new Set([...o, r.key, ...(chosen.status === "completed" ? [restOf(r.fanout)] : [])]));
    }
  }, [p.selected]);
  const [focused, setFocused] = useState<number>();
  const toFocus = useRef<number>(undefined);
  const current = Math.min(rows.length - 1, focused ?? at);
  const toggle = (row: Row) => {
    if (row.type === "step") return setClosed((c) => toggled(c, row.key));
    setOpened((o) => toggled(o, row.key));
    if (row.type === "fanout" && !row.open) p.onUnfold?.(row.key);
  };
  const press = (row: Row) => (row.type === "step" ? p.onSelect(row.key) : row.type !== "usual" && toggle(row));
  const folds = (row: Row) => (row.type === "step" ? row.kids : row.type !== "usual");
  const focus = (to: number) => {
    const next = Math.min(rows.length - 1, Math.max(0, to));
    toFocus.current = next;
    setFocused(next);
    list.scrollToIndex(next);
  };
  // A row that was off screen exists only after the list has scrolled.
  useEffect(() => {
    const row =
      toFocus.current !== undefined && box.current?.querySelector<HTMLElement>(`[data-index="${toFocus.current}"]`);
    if (!row) return;
    toFocus.current = undefined;
    row.focus();
  });
  function onKeyDown(e: KeyboardEvent) {
    const row = rows[current];
    const to = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: current + 15,
      PageUp: current - 15,
    }[e.key];
    if (row && (e.key === "Enter" || e.key === " ")) press(row);
    else if (row && e.key === "ArrowRight" && folds(row) && !row.open) toggle(row);
    else if (row && e.key === "ArrowRight" && (rows[current + 1]?.depth ?? 0) > row.depth) focus(current + 1);
    else if (row && e.key === "ArrowLeft" && folds(row) && row.open) toggle(row);
    else if (row && e.key === "ArrowLeft" && row.depth > 0)
      focus(rows.slice(0, current).findLastIndex((r) => r.depth < row.depth));
    else if (to !== undefined) focus(to);
    else return;
    e.preventDefault();
  }
  return (
    <div className={classes.root} data-spent={spent || undefined}>
      <Axis scale={scale} spent={spent} />
      <div ref={box} className={classes.scroll}>
        <div
          role="treegrid"
          aria-label="Steps"
          aria-rowcount={rows.length}
          className={classes.rows}
          style={{ height: list.getTotalSize() }}
          onKeyDown={onKeyDown}
        >
          <Lines scale={scale} live={p.live} />
          {list.getVirtualItems().map((v) => {
            const row = rows[v.index]!;
            const node = row.type === "step" ? row.node : undefined;
            return (
              <div
                key={row.key}
                role="row"
                className={classes.row}
                style={{ transform: `translateY(${v.start}px)` }}
                data-index={v.index}
                data-usual={row.type === "usual" || undefined}
                data-waits={node?.status === "approval" || undefined}
                aria-rowindex={v.index + 1}
                aria-level={row.depth + 1}
                aria-expanded={folds(row) ? row.open : undefined}
                aria-selected={row.key === p.selected}
                tabIndex={v.index === current ? 0 : -1}
                onClick={() => {
                  setFocused(v.index);
                  press(row);
                }}
              >
                <Name row={row} onToggle={() => toggle(row)} />
                <Figures row={row} spent={spent} end={p.end} />
                <Track row={row} scale={scale} end={p.end} />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
