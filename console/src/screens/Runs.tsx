import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { Search, X } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import * as q from "../api/queries";
import type { RunFilter } from "../api/queries/runs";
import { Button, ButtonLink, Kbd } from "../components/Button";
import { useWorkflowTitle } from "../components/catalog";
import { Bar } from "../components/Page";
import { RunRow } from "../components/RunRow";
import { Blank, Failed, Skeleton } from "../components/States";
import { useFresh } from "../components/useFresh";
import { count, plural } from "../format";
import { useKeys } from "../live/keys";
import { type Search as Url } from "../router";
import { ORDER, STATUS, StatusIcon, type Status } from "../status";
import classes from "./Runs.module.css";

const ROW = 34;
const FEW = 8;
const TYPING = 200; // milliseconds

function useFilter() {
  const url = useSearch({ strict: false }) as Url;
  const go = useNavigate();
  const status = (url.status?.split(",").filter((s) => s in STATUS) ?? []) as Status[];
  const workflow = url.workflow?.split(",").filter(Boolean) ?? [];
  const filter: RunFilter = {
    state: status,
    workflow,
    agent: url.agent,
    tool: url.tool,
    tag: url.tag ? [url.tag] : undefined,
    initiator: url.initiator,
    q: url.q,
  };
  const set = (change: Url) => void go({ to: ".", search: (old: Url) => ({ ...old, ...change }), replace: true });
  return { url, status, workflow, filter, set };
}

function Facets({ status, workflow, filter, set }: Omit<ReturnType<typeof useFilter>, "url">) {
  const { data } = useQuery({ ...q.runs.facets(filter), placeholderData: (old) => old });
  const title = useWorkflowTitle();
  const flip = <T,>(xs: T[], x: T) => (xs.includes(x) ? xs.filter((y) => y !== x) : [...xs, x]);
  const states = new Map(data?.state.items.map((i) => [i.value as Status, i.count]));
  const others = [
    { key: "initiator", word: "Started by", facet: data?.initiator },
    { key: "agent", word: "Agent", facet: data?.agent },
    { key: "tag", word: "Tag", facet: data?.tag },
  ] as const;
  return (
    <aside className={classes.facets} aria-label="Filters">
      <section>
        <h2>State</h2>
        {ORDER.map((s) => (
          <button
            type="button"
            key={s}
            aria-pressed={status.includes(s)}
            onClick={() => set({ status: flip(status, s).join(",") || undefined })}
          >
            <StatusIcon status={s} size={13} />
            <span className="cut">{STATUS[s].word}</span>
            <i>{states.has(s) ? count(states.get(s)!) : ""}</i>
          </button>
        ))}
      </section>
      <section>
        <h2>Workflow</h2>
        {data?.workflow.items.map((w) => (
          <button
            type="button"
            key={w.value}
            aria-pressed={workflow.includes(w.value)}
            onClick={() => set({ workflow: flip(workflow, w.value).join(",") || undefined })}
          >
            <span className="cut">{title(w.value)}</span>
            <i>{count(w.count)}</i>
          </button>
        ))}
      </section>
      {others.map(
        ({ key, word, facet }) =>
          !!facet?.items.length && (
            <section key={key}>
              <h2>{word}</h2>
              {facet.items.slice(0, FEW).map((i) => (
                <button type="button" key={i.value} aria-pressed={false} onClick={() => set({ [key]: i.value })}>
                  <span className="cut">{i.value}</span>
                  <i>{count(i.count)}</i>
                </button>
              ))}
            </section>
          ),
      )}
    </aside>
  );
}

function Find({ words, onChange }: { words: string; onChange(words: string): void }) {
  const [typed, setTyped] = useState(words);
  const box = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => box.current?.focus() });
  useEffect(() => setTyped(words), [words]);
  useEffect(() => {
    const timer = setTimeout(() => typed !== words && onChange(typed), TYPING);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <label>
      <Search size={14} aria-hidden />
      <input
        ref={box}
        value={typed}
        onChange={(e) => setTyped(e.target.value)}
        placeholder="Reference, workflow or end of an id"
        aria-label="Search runs"
      />
      <Kbd>/</Kbd>
    </label>
  );
}

/** All runs under a filter, newest first. Rows never move under the reader: new runs wait behind a button. */
export default function Runs() {
  const { url, status, workflow, filter, set } = useFilter();
  const title = useWorkflowTitle();
  const box = useRef<HTMLDivElement>(null);
  const { data, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage, refetch } = useInfiniteQuery(
    q.runs.pages(filter),
  );
  const { data: counts } = useQuery(q.runs.counts(filter));
  const runs = useMemo(() => data?.pages.flatMap((p) => p.items) ?? [], [data]);
  const fresh = useFresh(filter, runs);
  const rows = useVirtualizer({
    count: runs.length + (hasNextPage ? 1 : 0),
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 12,
  });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= runs.length - 1 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [last, runs.length, hasNextPage, isFetchingNextPage]);
  const focus = (by: number) => {
    const links = [...(box.current?.querySelectorAll("a") ?? [])];
    links[Math.max(0, links.indexOf(document.activeElement as HTMLAnchorElement) + by)]?.focus();
  };
  useKeys({ j: () => focus(1), k: () => focus(-1) });
  const clear = () =>
    set({
      status: undefined,
      workflow: undefined,
      agent: undefined,
      tool: undefined,
      tag: undefined,
      initiator: undefined,
      q: undefined,
    });
  const chips = [
    ...status.map((s) => ({
      key: s as string,
      word: STATUS[s].word,
      drop: () => set({ status: status.filter((x) => x !== s).join(",") || undefined }),
    })),
    ...workflow.map((w) => ({
      key: w,
      word: title(w),
      drop: () => set({ workflow: workflow.filter((x) => x !== w).join(",") || undefined }),
    })),
    ...(["agent", "tool", "tag", "initiator"] as const)
      .filter((k) => url[k])
      .map((k) => ({ key: k, word: `${k === "initiator" ? "by" : k} ${url[k]}`, drop: () => set({ [k]: undefined }) })),
  ];
  const filtered = chips.length > 0 || !!url.q;
  return (
    <>
      <Bar crumbs={[{ word: "Runs" }]}>
        <ButtonLink to="/workflows">Start a run</ButtonLink>
      </Bar>
      <div className={classes.page}>
        <Facets status={status} workflow={workflow} filter={filter} set={set} />
        <div className={classes.main}>
          <div className={classes.find}>
            <Find words={url.q ?? ""} onChange={(words) => set({ q: words || undefined })} />
            {chips.map((c) => (
              <Button key={c.key} small onClick={c.drop}>
                {c.word}
                <X size={12} aria-label="remove" />
              </Button>
            ))}
            {fresh.count > 0 && (
              <Button
                look="quiet"
                small
                onClick={() => {
                  fresh.show();
                  box.current?.scrollTo({ top: 0 });
                  void refetch();
                }}
              >
                {plural(fresh.count, "new run")}
              </Button>
            )}
            <span className="num muted">
              {counts &&
                `${count(counts.total)}${counts.complete ? "" : " or more"} ${counts.total === 1 ? "run" : "runs"}`}
            </span>
          </div>
          <div className={classes.cols} aria-hidden>
            <span />
            <span>Run</span>
            <span>Now, or why it ended</span>
            <span>Steps</span>
            <span>Cost</span>
            <span>By</span>
            <span>Started</span>
            <span>Took</span>
          </div>
          <div ref={box} className={classes.list}>
            {error && !data ? (
              <Failed error={error} reset={() => void refetch()} />
            ) : isPending ? (
              <Skeleton rows={12} />
            ) : runs.length ? (
              <div style={{ height: rows.getTotalSize(), position: "relative" }}>
                {items.map((v) => (
                  <div key={v.key} className={classes.slot} style={{ transform: `translateY(${v.start}px)` }}>
                    {runs[v.index] ? <RunRow r={fresh.latest(runs[v.index]!)} /> : <span className="muted">…</span>}
                  </div>
                ))}
              </div>
            ) : filtered ? (
              <Blank title="No run fits">
                <p>No run fits what you filter by.</p>
                <Button onClick={clear}>Clear the filters</Button>
              </Blank>
            ) : (
              <Blank title="No run has started yet" command="agentgrid run start WORKFLOW --watch">
                <p>What runs, waits and fails will be here.</p>
                <ButtonLink to="/workflows">To the workflows</ButtonLink>
              </Blank>
            )}
          </div>
        </div>
      </div>
    </>
  );
}
