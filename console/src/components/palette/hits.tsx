import { ArrowRight, Bot, UserRound, Workflow, Wrench } from "lucide-react";
import type { ReactNode } from "react";
import type { Approval, Run } from "../../api/client";
import type { components } from "../../api/schema";
import { doingOf } from "../../doing";
import { aboutOf, ago, flowTitle, left, shortId } from "../../format";
import type { Offer } from "../../live/offers";
import type { Search } from "../../router";
import { StatusIcon, statusOf } from "../../status";
import { Kbd } from "../Button";
import { NAV } from "../nav";
import classes from "./Palette.module.css";

export interface Hit {
  key: string;
  icon: ReactNode;
  word: string;
  more?: string | null;
  end?: ReactNode;
  /** Its link or its action; with neither, it is unavailable now. */
  to?: string;
  search?: Search;
  act?(): void;
}
export interface Group {
  title: string;
  hits: Hit[];
}
type SearchHit = components["schemas"]["Hit"];
const ICON = 14;

const keysOf = (keys: string[] | undefined) =>
  keys && (
    <span className={classes.keys}>
      {keys.map((k) => (
        <Kbd key={k}>{k}</Kbd>
      ))}
    </span>
  );
export const ofRun = (r: Run): Hit => ({
  key: r.run_id,
  icon: <StatusIcon status={statusOf(r)} />,
  word: flowTitle(r),
  more: [aboutOf(r) || shortId(r.run_id), doingOf(r, Date.now()).what].filter(Boolean).join(" · "),
  end: ago(r.created_at),
  to: `/runs/${r.run_id}`,
});
export const ofApproval = (a: Approval): Hit => ({
  key: a.approval_id,
  icon: <StatusIcon status="approval" />,
  word: a.title,
  more: a.reference ?? flowTitle(a),
  end: a.expires_at && a.status === "pending" && `${left(a.expires_at)} left`,
  to: `/approvals/${a.approval_id}`,
});
export const ofOffer = ({ word, Icon, more, keys, act }: Offer): Hit => ({
  key: word,
  icon: <Icon size={ICON} aria-hidden />,
  word,
  more,
  end: keysOf(keys),
  act,
});
const place = ({ to, word, Icon, key }: (typeof NAV)[number]["items"][number]): Hit => ({
  key: to,
  icon: <Icon size={ICON} aria-hidden />,
  word,
  end: keysOf(["G", key.toUpperCase()]),
  to,
});
const START: Hit = {
  key: "start",
  icon: <ArrowRight size={ICON} aria-hidden />,
  word: "Start a run",
  to: "/workflows",
};

const NOUN = { workflow: Workflow, tool: Wrench, agent: Bot, principal: UserRound } as const;
const TITLES: Record<SearchHit["kind"], string> = {
  approval: "Approvals",
  run: "Runs",
  workflow: "Workflows",
  agent: "Agents",
  tool: "Tools",
  principal: "People and programs",
};
/** The kinds in order; those with an exact match first. */
function kindsOf(q: string, hits: SearchHit[]): SearchHit["kind"][] {
  const exact = hits.filter((h) =>
    [h.id, shortId(h.id), h.detail, h.subject].some((name) => name?.toLowerCase() === q),
  );
  return [...new Set([...exact.map((h) => h.kind), ...(Object.keys(TITLES) as SearchHit["kind"][])])];
}
function fromSearch(h: SearchHit): Hit {
  const { key, word } = { key: `${h.kind} ${h.id}`, word: h.title };
  if (h.kind === "run" || h.kind === "approval") {
    const status = h.kind === "run" ? (h.status as Run["status"]) : h.status === "pending" ? "approval" : "completed";
    const more = [aboutOf({ subject: h.subject ?? null, reference: h.detail }), shortId(h.id)]
      .filter(Boolean)
      .join(" · ");
    return { key, word, more, icon: <StatusIcon status={status} />, to: `/${h.kind}s/${h.id}` };
  }
  const Icon = NOUN[h.kind];
  const base = { key, word, icon: <Icon size={ICON} aria-hidden />, end: h.detail };
  if (h.kind === "principal") return { ...base, to: "/settings", search: { view: "keys", principal: h.id } };
  return { ...base, more: h.id, to: `/${h.kind}s/${h.id}` };
}

export interface All {
  /** Pages opened before, latest first. */
  recent: Hit[];
  /** Approvals waiting for the user, and the newest runs. */
  approvals: Approval[];
  runs: Run[];
  offers: { title: string; offers: Offer[] }[];
  acts: Offer[];
  /** The server's search results. */
  hits: SearchHit[];
  /** Whether the server search is still in progress. */
  searching: boolean;
}
const last = (h: Hit) => Number(!h.to && !h.act); // unavailable ones
/** Without words: recent pages, the page's actions, approvals, runs and pages. With words: everything that matches. */
export function find(words: string, all: All): Group[] {
  const q = words.toLowerCase();
  const has = (h: Hit) => h.word.toLowerCase().includes(q);
  const offers = all.offers.map(({ title, offers }) => ({
    title,
    hits: offers
      .map(ofOffer)
      .filter(has)
      .sort((a, b) => last(a) - last(b)),
  }));
  const go = { title: "Go to", hits: NAV.flatMap((g) => g.items.map(place)).filter(has) };
  const verbs = { title: "Actions", hits: [START, ...all.acts.map(ofOffer)].filter(has) };
  const groups = q
    ? [
        ...kindsOf(q, all.hits).map((kind) => ({
          title: TITLES[kind],
          hits: all.hits.filter((h) => h.kind === kind).map(fromSearch),
        })),
        ...offers,
        go,
        verbs,
      ]
    : [
        { title: "Recent", hits: all.recent },
        ...offers,
        { title: "Waiting for you", hits: all.approvals.map(ofApproval) },
        { title: "Newest runs", hits: all.runs.map(ofRun) },
        go,
        verbs,
      ];
  return groups.filter((g) => g.hits.length);
}
