import { useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Hand, Power, Search } from "lucide-react";
import { useMemo } from "react";
import type { Tool } from "../api/client";
import * as q from "../api/queries";
import { Button } from "../components/Button";
import { Bar } from "../components/Page";
import { ruleWord } from "../components/rules";
import { Side } from "../components/Side";
import { Blank, Failed, Skeleton } from "../components/States";
import { Panel } from "../components/tools/Panel";
import { count, plural, span } from "../format";
import { type Search as Url } from "../router";
import { RiskMark } from "../status";
import classes from "./Tools.module.css";

const RANK = { destructive: 0, write: 1, read: 2 };
/** What acts comes first, and among equals what needs a person. */
const byDuty = (a: Tool, b: Tool) =>
  RANK[a.risk] - RANK[b.risk] ||
  Number(a.policy.effect === "allow") - Number(b.policy.effect === "allow") ||
  a.title.localeCompare(b.title);

function Row({ tool: t, open }: { tool: Tool; open: boolean }) {
  const off = t.switch.disabled;
  const { calls, failed, p95_seconds } = t.last_24h;
  return (
    <Link
      to="/tools/$name"
      params={{ name: t.name }}
      search={(old: Url) => old}
      className={classes.row}
      aria-current={open || undefined}
      data-off={off || undefined}
    >
      <span className="cut">
        <b>{t.title}</b> <code>{t.name}</code>
      </span>
      <RiskMark risk={t.risk} />
      <span className={`cut ${classes.rule}`} data-effect={off ? "off" : t.policy.effect}>
        {off ? (
          <Power size={13} aria-hidden />
        ) : t.policy.effect === "require_approval" ? (
          <Hand size={13} aria-hidden />
        ) : null}
        <span className="cut">{off ? "switched off" : ruleWord(t.policy)}</span>
        {t.served === false && <i>no worker</i>}
      </span>
      <span className={classes.fig}>{count(calls)}</span>
      <span className={classes.fig} data-bad={failed > 0 || undefined}>
        {calls ? count(failed) : ""}
      </span>
      <span className={classes.fig}>{p95_seconds !== null && span(p95_seconds * 1000)}</span>
    </Link>
  );
}
function List({ tools, at }: { tools: Tool[]; at: string | undefined }) {
  return (
    <>
      <div className={classes.cols} aria-hidden>
        <span>Tool</span>
        <span>Risk</span>
        <span>Rule</span>
        <span>Calls, 24 h</span>
        <span>Failed</span>
        <span title="95 of 100 completed calls were faster">p95</span>
      </div>
      <ul aria-label="Tools">
        {tools.map((t) => (
          <li key={t.name}>
            <Row tool={t} open={t.name === at} />
          </li>
        ))}
      </ul>
    </>
  );
}
/** All tools with risk and rule; beside them one, and what governs it. */
export default function Tools() {
  const { name } = useParams({ strict: false }) as { name?: string };
  const url = useSearch({ strict: false }) as Url;
  const go = useNavigate();
  const wide = useMediaQuery("(min-width: 1101px)", matchMedia("(min-width: 1101px)").matches);
  const { data, error, isPending, refetch } = useQuery(q.tools.list());
  const acts = url.view === "acts";
  const all = useMemo(() => data?.items.toSorted(byDuty) ?? [], [data]);
  const words = (url.q ?? "").toLowerCase();
  const list = all.filter(
    (t) => (!acts || t.risk !== "read") && `${t.title} ${t.name} ${t.tags.join(" ")}`.toLowerCase().includes(words),
  );
  const at = name ?? (wide ? list[0]?.name : undefined);
  const set = (change: Url) => void go({ to: ".", search: (old: Url) => ({ ...old, ...change }), replace: true });
  return (
    <>
      <Bar crumbs={[{ word: "Tools" }]}>
        <label className={classes.find}>
          <Search size={13} aria-hidden />
          <input
            value={url.q ?? ""}
            onChange={(e) => set({ q: e.target.value || undefined })}
            placeholder="Find a tool"
            aria-label="Find a tool"
          />
        </label>
        <Button
          look={acts ? "plain" : "quiet"}
          aria-pressed={acts}
          onClick={() => set({ view: acts ? undefined : "acts" })}
        >
          Only those that act
        </Button>
      </Bar>
      <div className={classes.page}>
        <div className={classes.list}>
          {error && !data ? (
            <Failed error={error} reset={() => void refetch()} />
          ) : isPending ? (
            <Skeleton rows={12} />
          ) : list.length ? (
            <>
              <List tools={list} at={at} />
              {data.next_cursor && <p className={classes.foot}>Only the first {plural(all.length, "tool")} by name.</p>}
            </>
          ) : all.length ? (
            <Blank title="No tool fits">
              <p>No tool fits what you look for.</p>
              <Button onClick={() => set({ q: undefined, view: undefined })}>Show all</Button>
            </Blank>
          ) : (
            <Blank title="No tool is registered yet" command="agentgrid worker">
              <p>A worker registers the tools of its project when it starts.</p>
            </Blank>
          )}
        </div>
        {at && (
          <Side
            label={all.find((t) => t.name === at)?.title ?? at}
            picked={!!name}
            onClose={() => void go({ to: "/tools", search: (old: Url) => old })}
          >
            <Panel name={at} />
          </Side>
        )}
      </div>
    </>
  );
}
