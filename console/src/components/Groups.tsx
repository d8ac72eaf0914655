import { ChevronRight, Layers } from "lucide-react";
import { useState } from "react";
import type { Approval } from "../api/client";
import { agentTitle, flowTitle, left, shortId, words } from "../format";
import { useNow } from "../live/now";
import classes from "../screens/Inbox.module.css";
import { RiskMark } from "../status";

export const ALIKE = 3; // so many of one shape are one row
const COLUMNS = 3;

export interface Group {
  title: string;
  soon?: boolean;
  items: Approval[];
}
/** The most urgent first, as the server sorts them: what expires within the hour, what can’t be undone, the rest. */
export function groupsOf(items: Approval[]): Group[] {
  const dangerous = (a: Approval) => a.risk === "destructive";
  const later = items.filter((a) => !a.expires_soon);
  return [
    { title: "Expires within the hour", soon: true, items: items.filter((a) => a.expires_soon) },
    { title: "Can’t be undone", items: later.filter(dangerous) },
    { title: "The rest", items: later.filter((a) => !dangerous(a)) },
  ].filter((g) => g.items.length);
}
/** The names of the arguments in which these differ; the first few. */
export function differing(items: Approval[]): string[] {
  const names = new Set(items.flatMap((a) => Object.keys(a.arguments ?? {})));
  return [...names].filter((n) => new Set(items.map((a) => a.arguments?.[n])).size > 1).slice(0, COLUMNS);
}
/** Approvals of one shape together, in the order of the first of each. */
export function shapesOf(items: Approval[]): Approval[][] {
  const shapes = new Map<string, Approval[]>();
  for (const a of items) {
    const shape = a.shape ?? a.approval_id;
    shapes.set(shape, [...(shapes.get(shape) ?? []), a]);
  }
  return [...shapes.values()].flatMap((s) => (s.length >= ALIKE ? [s] : s.map((a) => [a])));
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
        <b className="cut">{a.title}</b>
        <span className={classes.left} data-soon={a.expires_soon || undefined}>
          {a.status === "pending" ? a.expires_at && left(a.expires_at, now) : a.status}
        </span>
        <span className="cut muted">
          {[a.agent ? agentTitle(a) : flowTitle(a), a.reference].filter(Boolean).join(" · ")}
        </span>
        {a.risk === "destructive" && <RiskMark risk={a.risk} />}
      </button>
    </li>
  );
}
/** Approvals of one shape: one row, that opens to a table of what differs. */
export function Alike({ items, at, onOpen }: { items: Approval[]; at: string | undefined; onOpen(id: string): void }) {
  const inside = items.some((a) => a.approval_id === at);
  const [picked, setOpen] = useState<boolean>();
  const open = picked ?? inside;
  const now = useNow();
  const first = items[0]!;
  const columns = differing(items);
  return (
    <li className={classes.same}>
      <button type="button" className={classes.row} aria-expanded={open} onClick={() => setOpen(!open)}>
        <b className="cut">
          <Layers size={13} aria-hidden /> {first.tool_title ?? first.title}, {items.length} alike
        </b>
        <span className={classes.left} data-soon={first.expires_soon || undefined}>
          {first.expires_at && left(first.expires_at, now)}
        </span>
        <span className="cut muted">{open ? "fold them" : "show each"}</span>
        <ChevronRight size={13} aria-hidden data-open={open || undefined} />
      </button>
      {open && (
        <table aria-label={`${first.tool_title ?? first.title}, what differs`}>
          <thead>
            <tr>
              <th scope="col">Run</th>
              {columns.map((c) => (
                <th key={c} scope="col">
                  {words(c)}
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
                  <button type="button" aria-label={a.title}>
                    {a.reference ?? shortId(a.run_id)}
                  </button>
                </td>
                {columns.map((c) => (
                  <td key={c}>
                    <span className="cut">{String(a.arguments?.[c] ?? "")}</span>
                  </td>
                ))}
                <td>{a.expires_at && left(a.expires_at, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </li>
  );
}
