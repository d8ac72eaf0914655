import type { Node } from "./model";
import type { Fanout, Row } from "./rows";
import type { Scale } from "./scale";
import classes from "./Timeline.module.css";

const pc = (n: number) => `${n * 100}%`;

/** A fan-out: the number of running calls over time; red where one failed. */
function Density({ fanout, scale }: { fanout: Fanout; scale: Scale }) {
  const x0 = scale.x(fanout.from);
  const max = Math.max(1, ...fanout.bins);
  const w = 100 / fanout.bins.length;
  return (
    <svg
      className={classes.density}
      style={{ left: pc(x0), width: pc(Math.max(0.004, scale.x(fanout.to) - x0)) }}
      viewBox="0 0 100 20"
      preserveAspectRatio="none"
      aria-hidden
    >
      {fanout.bins.map((b, i) => (
        <rect
          key={i}
          x={i * w + w * 0.1}
          width={w * 0.8}
          y={20 - (b / max) * 18}
          height={(b / max) * 18}
          data-bad={fanout.failedBins[i] || undefined}
        />
      ))}
    </svg>
  );
}
function Wait({
  wait,
  scale,
  end,
  person,
}: {
  wait: NonNullable<Node["wait"]>;
  scale: Scale;
  end: number;
  person: boolean;
}) {
  const x0 = scale.x(wait.from);
  return (
    <span
      className={classes.wait}
      data-person={person || undefined}
      data-over={wait.to !== undefined || undefined}
      style={{ left: pc(x0), width: `max(3px, ${pc(scale.x(wait.to ?? end) - x0)})` }}
    >
      {wait.to === undefined && <em>{wait.word}</em>}
    </span>
  );
}
function Bars({ node, scale, end }: { node: Node; scale: Scale; end: number }) {
  if (node.kind === "agent") {
    const x0 = scale.x(node.from);
    return (
      <span
        className={classes.brace}
        style={{ left: pc(x0), width: `max(4px, ${pc(scale.x(node.to ?? end) - x0)})` }}
      />
    );
  }
  return (
    <>
      {node.tries.map((t, i) => {
        const x0 = scale.x(t.from);
        const before = node.tries[i - 1]?.to;
        return (
          <span key={t.n}>
            {before !== undefined && (
              <span
                className={classes.backoff}
                style={{ left: pc(scale.x(before)), width: pc(Math.max(0, x0 - scale.x(before))) }}
              />
            )}
            <span
              className={classes.bar}
              data-kind={node.kind}
              data-outcome={t.outcome}
              style={{ left: pc(x0), width: `max(3px, ${pc(scale.x(t.to ?? end) - x0)})` }}
            />
          </span>
        );
      })}
      {node.wait && <Wait wait={node.wait} scale={scale} end={end} person={node.kind !== "timer"} />}
    </>
  );
}
/** The bars of one row. Hidden from screen readers, because the row's cells have the same in words. */
export function Track({ row, scale, end }: { row: Row; scale: Scale; end: number }) {
  return (
    <span className={classes.track} aria-hidden>
      {row.type === "fanout" && <Density fanout={row.fanout} scale={scale} />}
      {row.type === "usual" && (
        <span className={classes.usual}>
          usually next, {row.usual.count} of {row.of} runs
        </span>
      )}
      {row.type === "step" && <Bars node={row.node} scale={scale} end={end} />}
    </span>
  );
}
