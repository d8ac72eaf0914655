/** Scheduled events as rows. */
import type { Overview } from "../../api/client";
import { namedStep } from "../../doing";
import { aboutOf, flowTitle, words } from "../../format";
import { STATUS } from "../../status";

type Due = Overview["next"][number];
interface NextRow {
  key: string;
  kind: Due["kind"];
  at: string;
  title: string;
  about: string;
  /** The link target; neither is set if the row stands for several approvals. */
  run_id?: string;
  approval_id?: string;
}
const MINUTE = 60_000;
const joined = (parts: (string | null | undefined)[], by: string) => [...new Set(parts.filter(Boolean))].join(by);

function one(n: Due): NextRow {
  const step = namedStep(n.current_step) ?? (n.tool ? (n.tool_title ?? words(n.tool)) : undefined);
  const flow = flowTitle(n);
  const row = { key: `${n.kind}${n.run_id}${n.approval_id}`, kind: n.kind, at: n.at };
  if (n.kind === "approval_expires" || n.kind === "retry") {
    const title = `${step ?? flow} ${n.kind === "retry" ? "retries" : "expires"}`;
    const about = joined([flow, aboutOf(n)], " · ");
    return n.approval_id
      ? { ...row, title, about, approval_id: n.approval_id }
      : { ...row, title, about, run_id: n.run_id };
  }
  const title = n.kind === "start" ? `${flow} starts` : `${flow} continues`;
  return {
    ...row,
    title,
    about: joined([n.kind === "timer" ? (step ?? STATUS.sleeping.word) : null, aboutOf(n)], " · "),
    run_id: n.run_id,
  };
}
/** Approvals that expire in the same minute are one row. */
export function upcomingRows(next: Due[]): NextRow[] {
  const groups = new Map<string, Due[]>();
  for (const n of next) {
    const minute = Math.floor(Date.parse(n.at) / MINUTE);
    const key = n.kind === "approval_expires" ? `${n.kind} ${minute}` : `${n.kind} ${n.run_id} ${n.at}`;
    groups.set(key, [...(groups.get(key) ?? []), n]);
  }
  return [...groups].map(([key, all]) => {
    const first = all[0]!;
    if (all.length === 1) return one(first);
    const about = [joined(all.map(flowTitle), ", "), joined(all.map(aboutOf), ", ")];
    return {
      key,
      kind: first.kind,
      at: first.at,
      title: `${all.length} approvals expire`,
      about: joined(about, " · "),
    };
  });
}
