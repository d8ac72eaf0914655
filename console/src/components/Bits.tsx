import { Tooltip } from "@mantine/core";
import { Check, Copy } from "lucide-react";
import { ago, exact, left, shortId } from "../format";
import { useNow } from "../live/now";
import classes from "./Bits.module.css";
import { useCopy } from "./useCopy";

const HOUR = 3_600_000;

/** Shows the last eight characters of an id; a click copies all of it. */
export function Ident({ id, show }: { id: string; show?: string }) {
  const { message, byHand, copy, ref } = useCopy();
  const Icon = message ? Check : Copy;
  return (
    <>
      {byHand ? (
        <code ref={ref} tabIndex={-1} className={classes.whole}>
          {id}
        </code>
      ) : (
        <button type="button" className={classes.ident} title={id} onClick={() => copy(id)}>
          {show ?? shortId(id)}
          <Icon size={11} aria-hidden />
          <span className="visually-hidden">copy in full</span>
        </button>
      )}
      <span aria-live="polite" className={byHand ? classes.hint : "visually-hidden"}>
        {byHand && " "}
        {message}
      </span>
    </>
  );
}
export function Ago({ at }: { at: string }) {
  const now = useNow();
  return (
    <Tooltip label={exact(at)}>
      <time dateTime={at} className="num">
        {ago(at, now)}
      </time>
    </Tooltip>
  );
}

/** The time left for an approval, as text and a shrinking bar; amber in the last hour. */
export function Expiry({ from, until, word = "left" }: { from: string; until: string; word?: "left" | "bare" }) {
  const now = useNow();
  const rest = Date.parse(until) - now;
  const share = rest / (Date.parse(until) - Date.parse(from));
  return (
    <span className={classes.expiry} data-soon={rest < HOUR || undefined} title={exact(until)}>
      <span className="num">
        {rest > 0 ? left(until, now) : "expired"}
        {word === "left" && rest > 0 && " left"}
      </span>
      <i aria-hidden>
        <b style={{ width: `${Math.min(100, Math.max(6, share * 100))}%` }} />
      </i>
    </span>
  );
}

/** An hourly bar chart of one day; red for failures. */
export function Bars({
  values,
  tone,
  height = 18,
  label,
}: {
  values: number[];
  tone?: "wrong";
  height?: number;
  label: string;
}) {
  const max = Math.max(1, ...values);
  const w = 100 / values.length;
  return (
    <svg
      className={classes.bars}
      data-tone={tone}
      viewBox={`0 0 100 ${height}`}
      height={height}
      width="100%"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {values.map((v, i) => {
        const h = v ? Math.max(2.5, (v / max) * height) : 1;
        return (
          <rect key={i} data-zero={!v || undefined} x={i * w + w * 0.14} width={w * 0.72} y={height - h} height={h} />
        );
      })}
    </svg>
  );
}

/** With this many steps, they are the parts of one fan-out. Fewer steps run one after another, and their number keeps growing. */
export const MANY = 20;
/** A run's progress as a thin bar: done, failed, remaining. */
export function Progress({ done, failed, total }: { done: number; failed: number; total: number }) {
  return (
    <span className={classes.progress} title={`${done} of ${total} steps done${failed ? `, ${failed} failed` : ""}`}>
      <b style={{ width: `${total ? (done / total) * 100 : 0}%` }} />
      {failed > 0 && <u />}
    </span>
  );
}
