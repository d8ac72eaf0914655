import { ChevronRight } from "lucide-react";
import { count, words } from "../../format";
import { KIND, STATUS, StatusIcon } from "../../status";
import { Text } from "../Text";
import type { Row } from "./rows";
import classes from "./Timeline.module.css";

const INDENT = 20; // pixels a level

function Icon({ row }: { row: Row }) {
  if (row.type === "rest") return null;
  if (row.type === "usual") {
    const { Icon } = KIND[row.usual.kind];
    return <Icon size={14} strokeWidth={1.8} aria-hidden />;
  }
  if (row.type === "fanout") {
    const { Icon } = KIND.tool;
    return row.fanout.failed ? <StatusIcon status="failed" /> : <Icon size={14} strokeWidth={1.8} aria-hidden />;
  }
  if (row.node.status !== "completed") return <StatusIcon status={row.node.status} />;
  const { Icon } = KIND[row.node.kind];
  return (
    <>
      <Icon size={14} strokeWidth={1.8} aria-hidden />
      <span className="visually-hidden">{STATUS.completed.word}</span>
    </>
  );
}
function What({ row }: { row: Row }) {
  if (row.type === "step")
    return (
      <>
        <span className={classes.title}>
          <Text>{row.node.title}</Text>
        </span>
        {row.node.label && (
          <span className={`cut ${classes.label}`}>
            <Text>{row.node.label}</Text>
          </span>
        )}
        {row.node.attempts > 1 && (
          <span className={classes.tries} data-wrong={row.node.status === "failed" || undefined}>
            {row.node.attempts} attempts
          </span>
        )}
      </>
    );
  if (row.type === "usual")
    return (
      <>
        <span className={`cut ${classes.label}`}>
          <Text>{row.usual.title ?? words(row.usual.name)}</Text>
        </span>
        <span className={classes.often}>usually next</span>
      </>
    );
  const { fanout } = row;
  if (row.type === "rest")
    return (
      <span className={classes.label}>
        {row.open ? "Hide" : "Show"} {count(fanout.done)} completed
      </span>
    );
  return (
    <>
      <span className={classes.title}>
        <Text>{fanout.title}</Text> × {count(fanout.count)}
      </span>
      <span className={`cut ${classes.label}`}>
        {count(fanout.done)} done{fanout.failed > 0 && <b className={classes.bad}>, {count(fanout.failed)} failed</b>}
      </span>
    </>
  );
}
/** The first cell of a row: its place in the tree, and what it is. */
export function Name({ row, onToggle }: { row: Row; onToggle(): void }) {
  const folds = row.type === "fanout" || (row.type === "step" && row.kids);
  return (
    <span role="gridcell" className={classes.name} style={{ paddingLeft: INDENT + row.depth * INDENT }}>
      {Array.from({ length: row.depth }, (_, d) => (
        <i key={d} className={classes.guide} style={{ left: 27 + d * INDENT }} />
      ))}
      <span
        className={classes.fold}
        data-open={(folds && row.open) || undefined}
        onClick={(e) => {
          if (!folds) return;
          e.stopPropagation();
          onToggle();
        }}
      >
        {folds && <ChevronRight size={13} aria-hidden />}
      </span>
      <span className={classes.kind} data-calm={(row.type === "step" && row.node.status === "completed") || undefined}>
        <Icon row={row} />
      </span>
      <What row={row} />
    </span>
  );
}
