import { useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Hand, Plug, Power, Search } from "lucide-react";
import { useMemo } from "react";
import type { Tool } from "../api/client";
import * as q from "../api/queries";
import type { McpServer } from "../api/queries/mcp_servers";
import { Button, ButtonLink } from "../components/Button";
import { Bar } from "../components/Page";
import { ruleWord } from "../components/rules";
import { Side } from "../components/Side";
import { Blank, Failed, Skeleton } from "../components/States";
import { Text } from "../components/Text";
import { Panel } from "../components/tools/Panel";
import { Servers } from "../components/tools/Servers";
import { count, plural, span } from "../format";
import { type Search as Url } from "../router";
import { RiskMark, SERVER } from "../status";
import classes from "./Tools.module.css";

const RANK = { destructive: 0, write: 1, read: 2 };
/** Riskiest first; within the same risk, tools that need a person first. */
const byDuty = (a: Tool, b: Tool) =>
  RANK[a.risk] - RANK[b.risk] ||
  Number(a.policy.effect === "allow") - Number(b.policy.effect === "allow") ||
  a.title.localeCompare(b.title);

type Trouble = McpServer["state"];
function Rule({ tool: t, trouble }: { tool: Tool; trouble: Trouble | undefined }) {
  const off = t.switch.disabled;
  const problem = off || trouble === "ready" ? undefined : trouble;
  const { word, Icon } = SERVER[trouble ?? "ready"];
  return (
    <span className={`cut ${classes.rule}`} data-effect={off ? "off" : problem || t.policy.effect}>
      {off ? (
        <Power size={13} aria-hidden />
      ) : problem ? (
        <Icon size={13} aria-hidden />
      ) : t.policy.effect === "require_approval" ? (
        <Hand size={13} aria-hidden />
      ) : null}
      <span className="cut">{off ? "switched off" : problem ? word.toLowerCase() : ruleWord(t.policy)}</span>
      {t.served === false && <i>no worker</i>}
    </span>
  );
}
function Row({ tool: t, open, trouble }: { tool: Tool; open: boolean; trouble: Trouble | undefined }) {
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
        <b>
          <Text>{t.title}</Text>
        </b>{" "}
        <code>{t.name}</code>
      </span>
      <RiskMark risk={t.risk} />
      <Rule tool={t} trouble={trouble} />
      <span className={classes.fig} data-none={!calls || undefined}>
        {count(calls)}
      </span>
      <span className={classes.fig} data-bad={failed > 0 || undefined}>
        {failed > 0 && count(failed)}
      </span>
      <span className={classes.fig}>{p95_seconds !== null && span(p95_seconds * 1000)}</span>
    </Link>
  );
}
function List({ tools, at }: { tools: Tool[]; at: string | undefined }) {
  const servers = useQuery(q.mcpServers.list()).data?.items;
  const trouble = new Map(servers?.flatMap((s) => (s.state === "ready" ? [] : s.tools.map((t) => [t, s.state]))));
  return (
    <>
      <div className={classes.cols} aria-hidden>
        <span>Tool</span>
        <span>Risk</span>
        <span>Rule</span>
        <span>Calls, 24 h</span>
        <span>Failed</span>
        <span title="95% of completed calls were faster">p95</span>
      </div>
      <ul aria-label="Tools">
        {tools.map((t) => (
          <li key={t.name}>
            <Row tool={t} open={t.name === at} trouble={trouble.get(t.name)} />
          </li>
        ))}
      </ul>
    </>
  );
}
/** All tools with their risk and rule; beside them the selected tool and what governs it. */
function Catalog({ name, wide, set }: { name: string | undefined; wide: boolean; set(change: Url): void }) {
  const url = useSearch({ strict: false }) as Url;
  const go = useNavigate();
  const { data, error, isPending, refetch } = useQuery(q.tools.list());
  const all = useMemo(() => data?.items.toSorted(byDuty) ?? [], [data]);
  const words = (url.q ?? "").toLowerCase();
  const list = all.filter(
    (t) =>
      (url.view !== "acts" || t.risk !== "read") &&
      `${t.title} ${t.name} ${t.tags.join(" ")}`.toLowerCase().includes(words),
  );
  const at = name ?? (wide ? list[0]?.name : undefined);
  return (
    <>
      <div className={classes.list}>
        {error && !data ? (
          <Failed error={error} reset={() => void refetch()} />
        ) : isPending ? (
          <Skeleton rows={12} />
        ) : list.length ? (
          <>
            <List tools={list} at={at} />
            {data.next_cursor && (
              <p className={classes.foot}>Showing the first {plural(all.length, "tool")} by name.</p>
            )}
          </>
        ) : all.length ? (
          <Blank title="No matching tools">
            <p>No name, title or tag matches your search.</p>
            <Button onClick={() => set({ q: undefined, view: undefined })}>Show all</Button>
          </Blank>
        ) : (
          <Blank title="No tool is registered yet" command="agentgrid worker">
            <p>A worker registers its project’s tools when it starts.</p>
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
    </>
  );
}
/** Link to the MCP servers, with the number that can't be used. */
function ToServers() {
  const { data } = useQuery(q.mcpServers.list());
  const wrong = data?.items.filter((s) => s.state !== "ready").length;
  return (
    <ButtonLink
      to="/tools"
      search={{ view: "mcp" }}
      look="quiet"
      icon={<Plug size={14} aria-hidden />}
      aria-label={wrong ? `MCP servers, ${wrong} can’t be used` : "MCP servers"}
    >
      <span className={classes.servers}>MCP servers</span>
      {!!wrong && <em className={classes.held}>{wrong}</em>}
    </ButtonLink>
  );
}
/** The tools, or the MCP servers that some of them come from. */
export default function Tools() {
  const { name } = useParams({ strict: false }) as { name?: string };
  const url = useSearch({ strict: false }) as Url;
  const go = useNavigate();
  const wide = useMediaQuery("(min-width: 1101px)", matchMedia("(min-width: 1101px)").matches);
  const servers = url.view === "mcp" && !name;
  const acts = url.view === "acts";
  const set = (change: Url) => void go({ to: ".", search: (old: Url) => ({ ...old, ...change }), replace: true });
  return (
    <>
      <Bar crumbs={servers ? [{ word: "Tools", to: "/tools" }, { word: "MCP servers" }] : [{ word: "Tools" }]}>
        {!servers && (
          <>
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
              Hide read-only
            </Button>
            <ToServers />
          </>
        )}
      </Bar>
      <div className={classes.page}>
        {servers ? <Servers wide={wide} /> : <Catalog name={name} wide={wide} set={set} />}
      </div>
    </>
  );
}
