import { ChevronRight, Layers } from "lucide-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Approval } from "../api/client";
import * as q from "../api/queries";
import { agentTitle, flowTitle, left, shortId } from "../format";
import { useNow } from "../live/now";
import classes from "../screens/Inbox.module.css";
import { RiskMark } from "../status";
import { visible } from "../unseen";
import { isMoney, labelOf, own, propertiesOf, shown } from "./letter/schema";
import { Text } from "./Text";

const ALIKE = 3; // this many of one shape become one row
const COLUMNS = 2;
const SHORT = 24; // characters that fit a column

export interface Group {
  title: string;
  soon?: boolean;
  items: Approval[];
}
/** Groups in the server's order of urgency: what expires within the hour, what can’t be undone, the rest. */
export function groupsOf(items: Approval[]): Group[] {
  const dangerous = (a: Approval) => a.risk === "destructive";
  const later = items.filter((a) => !a.expires_soon);
  return [
    { title: "Expires within the hour", soon: true, items: items.filter((a) => a.expires_soon) },
    { title: "Can’t be undone", items: later.filter(dangerous) },
    { title: "Other", items: later.filter((a) => !dangerous(a)) },
  ].filter((g) => g.items.length);
}
/** The arguments whose values differ: the first few with short values, except one that only repeats the run's reference. */
function differing(items: Approval[]): string[] {
  const names = new Set(items.flatMap((a) => Object.keys(a.arguments ?? {})));
  return [...names]
    .filter((n) => {
      const values = items.map((a) => String(own(a.arguments ?? {}, n) ?? ""));
      const repeats = items.every((a, i) => a.reference === values[i]);
      return new Set(values).size > 1 && !repeats && values.every((v) => v.length <= SHORT);
    })
    .slice(0, COLUMNS);
}
/** Groups approvals by shape, in the order of each shape's first approval. */
export function shapesOf(items: Approval[]): Approval[][] {
  const shapes = new Map<string, Approval[]>();
  for (const a of items) {
    const shape = a.shape ?? a.approval_id;
    shapes.set(shape, [...(shapes.get(shape) ?? []), a]);
  }
  return [...shapes.values()].flatMap((s) => (s.length >= ALIKE ? [s] : s.map((a) => [a])));
}

function Left({ until, now }: { until: string | null; now: number }) {
  if (!until) return null;
  return (
    <>
      {left(until, now)}
      <span className="visually-hidden"> left</span>
    </>
  );
}
interface RowProps {
  a: Approval;
  at: boolean;
  onOpen(id: string): void;
}
export function ApprovalRow({ a, at, onOpen }: RowProps) {
  const now = useNow();
  return (
    <li>
      <button
        type="button"
        className={classes.row}
        aria-current={at || undefined}
        data-id={a.approval_id}
        onClick={() => onOpen(a.approval_id)}
      >
        <b className="cut">
          <Text>{a.title}</Text>
        </b>{" "}
        <span className={classes.left} data-soon={a.expires_soon || undefined}>
          {a.status === "pending" ? <Left until={a.expires_at} now={now} /> : a.status}
        </span>{" "}
        <span className="cut muted">
          <Text>{[a.agent ? agentTitle(a) : flowTitle(a), a.reference].filter(Boolean).join(" · ")}</Text>
        </span>{" "}
        {a.risk === "destructive" && <RiskMark risk={a.risk} />}
      </button>
    </li>
  );
}
/** Approvals of one shape in one row, which expands to a table of what differs. */
export function SimilarApprovals({
  items,
  at,
  onOpen,
}: {
  items: Approval[];
  at: string | undefined;
  onOpen(id: string): void;
}) {
  const inside = items.some((a) => a.approval_id === at);
  const [open, setOpen] = useState(inside);
  useEffect(() => {
    if (inside) setOpen(true); // J or K moved the selection into it
  }, [inside]);
  const now = useNow();
  const first = items[0]!;
  const title = first.tool_title ?? first.title;
  const columns = differing(items);
  // The list has no schema; the letter of one approval has the schema of all, with its labels and units.
  const { data: letter, isPending } = useQuery({
    ...q.approvals.one(first.approval_id),
    enabled: open && !!first.tool,
    placeholderData: (last) => last, // the previous one has the same schema
  });
  const unread = !!first.tool && isPending; // cents must never be shown as dollars, not even briefly
  const properties = propertiesOf(letter?.input_schema);
  const label = (name: string) => labelOf(name, own(properties, name));
  const short = (name: string) => label(letter ? name : name.replace(/_cents$/, "")); // without a unit until the schema has loaded
  return (
    <li className={classes.same}>
      <button type="button" className={classes.row} aria-expanded={open} onClick={() => setOpen(!open)}>
        <b className="cut">
          <Layers size={13} aria-hidden /> <Text>{title}</Text>, {items.length} alike
        </b>{" "}
        <span className={classes.left} data-soon={first.expires_soon || undefined}>
          <Left until={first.expires_at} now={now} />
        </span>{" "}
        <span className="cut muted">
          {columns.length ? (
            <Text>{`They differ in ${columns.map(short).join(", ").toLowerCase()}`}</Text>
          ) : open ? (
            "Collapse"
          ) : (
            "Expand"
          )}
        </span>
        <ChevronRight size={13} aria-hidden data-open={open || undefined} />
      </button>
      {open && (
        <table aria-label={`${visible(title)}, what differs`}>
          <thead>
            <tr>
              <th scope="col">Run</th>
              {columns.map((c) => (
                <th key={c} scope="col" data-money={isMoney(own(properties, c)) || undefined}>
                  <Text>{label(c)}</Text>
                </th>
              ))}
              <th scope="col">Left</th>
            </tr>
          </thead>
          <tbody>
            {items.map((a) => (
              <tr
                key={a.approval_id}
                aria-current={a.approval_id === at || undefined}
                onClick={() => onOpen(a.approval_id)}
              >
                <td>
                  <button type="button" aria-label={visible(a.title)}>
                    <Text>{a.reference ?? shortId(a.run_id)}</Text>
                  </button>
                </td>
                {columns.map((c) => {
                  const value = own(a.arguments ?? {}, c);
                  const text = value == null || unread ? "" : shown(own(properties, c), value);
                  return (
                    <td key={c}>
                      <span className="cut" title={visible(text)}>
                        <Text>{text}</Text>
                      </span>
                    </td>
                  );
                })}
                <td>{a.expires_at && left(a.expires_at, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </li>
  );
}
