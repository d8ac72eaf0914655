import { ChevronRight, Layers } from "lucide-react";
import { useState } from "react";
import type { Approval, Risk } from "../api/client";
import { agentTitle, flowTitle, left } from "../format";
import { useNow } from "../live/now";
import classes from "../screens/Inbox.module.css";
import { RiskMark } from "../status";

const HOUR = 3_600_000;
export const ALIKE = 3; // so many of one shape are one row

export interface Group {
  title: string;
  soon?: boolean;
  items: Approval[];
}
/** What must be decided first comes first: what expires within the hour, what can’t be undone, the rest. */
export function groupsOf(items: Approval[], risk: (tool: string | null) => Risk | undefined, now: number): Group[] {
  const soon = (a: Approval) => !!a.expires_at && Date.parse(a.expires_at) - now < HOUR;
  const dangerous = (a: Approval) => risk(a.tool) === "destructive";
  const byExpiry = [...items].sort(
    (a, b) => Date.parse(a.expires_at ?? "9999-01-01") - Date.parse(b.expires_at ?? "9999-01-01"),
  );
  return [
    { title: "Expires within the hour", soon: true, items: byExpiry.filter(soon) },
    { title: "Can’t be undone", items: byExpiry.filter((a) => !soon(a) && dangerous(a)) },
    { title: "The rest", items: byExpiry.filter((a) => !soon(a) && !dangerous(a)) },
  ].filter((g) => g.items.length);
}
/** Approvals of one tool and asker, in the order of the first of each. */
export function shapesOf(items: Approval[]): Approval[][] {
  const shapes = new Map<string, Approval[]>();
  for (const a of items) {
    const shape = a.tool && a.shape ? a.shape : a.approval_id;
    shapes.set(shape, [...(shapes.get(shape) ?? []), a]);
  }
  return [...shapes.values()].flatMap((s) => (s.length >= ALIKE ? [s] : s.map((a) => [a])));
}

interface RowProps {
  a: Approval;
  at: boolean;
  risk: Risk | undefined;
  onOpen(id: string): void;
}
export function ApprovalRow({ a, at, risk, onOpen }: RowProps) {
  const now = useNow();
  const soon = !!a.expires_at && Date.parse(a.expires_at) - now < HOUR;
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
        <span className={classes.left} data-soon={soon || undefined}>
          {a.status === "pending" ? a.expires_at && left(a.expires_at, now) : a.status}
        </span>
        <span className="cut muted">
          {[a.agent ? agentTitle(a) : flowTitle(a), a.reference].filter(Boolean).join(" · ")}
        </span>
        {risk === "destructive" && <RiskMark risk={risk} />}
      </button>
    </li>
  );
}
/** Approvals of one shape: one row, that opens to the single ones. */
export function Alike({
  items,
  at,
  risk,
  onOpen,
}: {
  items: Approval[];
  at: string | undefined;
  risk: Risk | undefined;
  onOpen(id: string): void;
}) {
  const [open, setOpen] = useState(items.some((a) => a.approval_id === at));
  const now = useNow();
  const first = items[0]!;
  return (
    <>
      <li className={classes.same}>
        <button type="button" className={classes.row} aria-expanded={open} onClick={() => setOpen(!open)}>
          <b className="cut">
            <Layers size={13} aria-hidden /> {first.title}, {items.length} alike
          </b>
          <span className={classes.left}>{first.expires_at && left(first.expires_at, now)}</span>
          <span className="cut muted">{open ? "fold them" : "show each"}</span>
          <ChevronRight size={13} aria-hidden data-open={open || undefined} />
        </button>
      </li>
      {open &&
        items.map((a) => (
          <ApprovalRow key={a.approval_id} a={a} at={a.approval_id === at} risk={risk} onOpen={onOpen} />
        ))}
    </>
  );
}
