import { Bot, Workflow as WorkflowIcon, Wrench } from "lucide-react";
import type { ReactNode } from "react";
import type { Agent, Approval, Run, Tool, Workflow } from "../api/client";
import { ago, flowTitle, left, shortId } from "../format";
import { StatusIcon, statusOf } from "../status";
import { Kbd } from "./Button";
import { NAV } from "./nav";

export interface Hit {
  key: string;
  icon: ReactNode;
  word: string;
  more?: string;
  end?: ReactNode;
  to: string;
}
export interface Group {
  title: string;
  hits: Hit[];
}
export interface Found {
  runs: Run[];
  approvals: Approval[];
  workflows: Workflow[];
  agents: Agent[];
  tools: Tool[];
}
const MOST = 5;

const runHit = (r: Run): Hit => ({
  key: r.run_id,
  icon: <StatusIcon status={statusOf(r)} />,
  word: flowTitle(r),
  more: [r.reference ?? shortId(r.run_id), r.current_step ?? r.status_reason].filter(Boolean).join(" · "),
  end: ago(r.created_at),
  to: `/runs/${r.run_id}`,
});
const places = (q: string): Hit[] =>
  NAV.flatMap((g) => g.items)
    .filter((i) => i.word.toLowerCase().includes(q))
    .map(({ to, word, Icon, key }) => ({
      key: to,
      icon: <Icon size={14} />,
      word,
      end: (
        <>
          <Kbd>G</Kbd> <Kbd>{key.toUpperCase()}</Kbd>
        </>
      ),
      to,
    }));

/** Without words: the newest runs, what waits, and the places. With words: typed hits. Runs are searched by the server. */
export function find(words: string, found: Found): Group[] {
  const q = words.toLowerCase();
  const has = (...texts: (string | null | undefined)[]) => texts.some((t) => t?.toLowerCase().includes(q));
  const groups: Group[] = [
    {
      title: q ? "Approvals" : "Waits for you",
      hits: found.approvals
        .filter((a) => has(a.title, a.reference, a.approval_id))
        .slice(0, MOST)
        .map((a) => ({
          key: a.approval_id,
          icon: <StatusIcon status="approval" />,
          word: a.title,
          more: a.reference ?? flowTitle(a),
          end: a.expires_at && `${left(a.expires_at)} left`,
          to: `/approvals/${a.approval_id}`,
        })),
    },
    { title: q ? "Runs" : "Newest runs", hits: found.runs.slice(0, MOST).map(runHit) },
    { title: "Go to", hits: places(q) },
  ];
  if (q)
    groups.push(
      {
        title: "Workflows",
        hits: found.workflows
          .filter((w) => has(w.title, w.name))
          .slice(0, MOST)
          .map((w) => ({
            key: w.name,
            icon: <WorkflowIcon size={14} />,
            word: w.title,
            more: w.name,
            to: `/workflows/${w.name}`,
          })),
      },
      {
        title: "Agents",
        hits: found.agents
          .filter((a) => has(a.title, a.name))
          .slice(0, MOST)
          .map((a) => ({ key: a.name, icon: <Bot size={14} />, word: a.title, more: a.name, to: `/agents/${a.name}` })),
      },
      {
        title: "Tools",
        hits: found.tools
          .filter((t) => has(t.title, t.name))
          .slice(0, MOST)
          .map((t) => ({
            key: t.name,
            icon: <Wrench size={14} />,
            word: t.title,
            more: t.name,
            end: t.risk,
            to: `/tools/${t.name}`,
          })),
      },
    );
  return groups.filter((g) => g.hits.length);
}
