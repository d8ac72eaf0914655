import { Menu } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Download, ScrollText } from "lucide-react";
import { useMemo } from "react";
import type { Command } from "../api/client";
import * as q from "../api/queries";
import type { CommandFilter } from "../api/queries/commands";
import { kindsOf, OUTCOMES, type Titles } from "../audit";
import { Filters } from "../components/audit/Filters";
import { Button } from "../components/Button";
import { useAgentTitle, useToolTitle, useWorkflowTitle } from "../components/catalog";
import { CommandRow } from "../components/CommandRow";
import { Bar, UNDER_BAR } from "../components/Page";
import { Blank, Failed, Skeleton } from "../components/States";
import { dayTitle, plural, zoneName, zoneShort } from "../format";
import { useNow } from "../live/now";
import type { Search } from "../router";
import classes from "./Audit.module.css";

const MINUTE = 60_000;
const FILTERS = ["principal", "kind", "status", "target", "q", "since", "until"] as const;

function filterOf(url: Search): CommandFilter {
  return {
    principal: url.principal,
    kind: kindsOf(url.kind),
    status: url.status ? OUTCOMES[url.status]?.status : undefined,
    target: url.target,
    q: url.q,
    since: url.since,
    until: url.until,
  };
}
function useTitles(): Titles {
  const titles = { workflow: useWorkflowTitle(), agent: useAgentTitle(), tool: useToolTitle() };
  return (noun, name) => titles[noun](name);
}

/** Downloads the matching commands as a file. */
function Export({ filter }: { filter: CommandFilter }) {
  return (
    <Menu width={200} offset={UNDER_BAR}>
      <Menu.Target>
        <Button icon={<Download size={14} aria-hidden />}>Export</Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item component="a" href={q.commands.exported(filter, "csv")} download>
          CSV, for a spreadsheet
        </Menu.Item>
        <Menu.Item component="a" href={q.commands.exported(filter, "ndjson")} download>
          NDJSON, for programs
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** Commands by day, newest first. */
function byDay(commands: Command[], now: number) {
  const days: { title: string; items: Command[] }[] = [];
  for (const c of commands) {
    const title = dayTitle(c.created_at, now);
    if (days.at(-1)?.title !== title) days.push({ title, items: [] });
    days.at(-1)!.items.push(c);
  }
  return days;
}

/** The audit log: who requested what and why, and the outcome. Nothing is ever removed from it. */
export default function Audit() {
  const url = useSearch({ strict: false }) as Search;
  const go = useNavigate();
  const titles = useTitles();
  const minute = Math.floor(useNow() / MINUTE) * MINUTE;
  const { data: me } = useQuery(q.me.me());
  const filter = filterOf(url);
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery(
    q.commands.pages(filter),
  );
  const commands = useMemo(() => data?.pages.flatMap((p) => p.items) ?? [], [data]);
  const days = useMemo(() => byDay(commands, minute), [commands, minute]);
  const set = (change: Search) => void go({ to: ".", search: (old: Search) => ({ ...old, ...change }), replace: true });
  const clear = () => set(Object.fromEntries(FILTERS.map((name) => [name, undefined])));
  const filtered = FILTERS.some((name) => url[name]);
  const all = me?.permissions.includes("audit");
  return (
    <>
      <Bar crumbs={[{ word: "Audit" }]}>
        {filtered && (
          <Button look="quiet" onClick={clear}>
            Clear filters
          </Button>
        )}
        <Export filter={filter} />
      </Bar>
      <Filters
        url={url}
        onChange={set}
        note={data && `${plural(commands.length, "command")}${hasNextPage ? " or more" : ""}`}
      />
      {me && !all && (
        <p className={classes.note}>You only see your own commands. Seeing everyone’s requires the auditor role.</p>
      )}
      {url.q && !url.since && (
        <p className={classes.note}>Text search covers the last 31 days. Choose dates to search further back.</p>
      )}
      <div className={classes.cols} aria-hidden>
        <span title={zoneName()}>{zoneShort()}</span>
        <span>Who</span>
        <span>Action and reason</span>
        <span>Target</span>
        <span>Outcome</span>
        <span>Via</span>
        <span>Command</span>
      </div>
      <div className={classes.scroll}>
        {!data ? (
          error ? (
            <Failed error={error} reset={() => void refetch()} />
          ) : (
            <Skeleton rows={12} />
          )
        ) : !commands.length ? (
          <Blank
            icon={<ScrollText size={20} />}
            title={filtered ? "No matches" : "No commands yet"}
            command={filtered ? undefined : "agentgrid audit list"}
          >
            {filtered ? (
              <>
                <p>No commands match these filters.</p>
                <Button onClick={clear}>Clear filters</Button>
              </>
            ) : (
              <p>Every requested change appears here, including refused ones.</p>
            )}
          </Blank>
        ) : (
          days.map((day) => (
            <section key={day.title} aria-label={day.title}>
              <h2>{day.title}</h2>
              <ol>
                {day.items.map((c) => (
                  <CommandRow
                    key={c.command_id}
                    command={c}
                    titles={titles}
                    open={url.at === c.command_id}
                    onOpen={(open) => set({ at: open ? c.command_id : undefined })}
                    onWho={(principal) => set({ principal })}
                  />
                ))}
              </ol>
            </section>
          ))
        )}
        {hasNextPage && (
          <p className={classes.more}>
            <Button disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {isFetchingNextPage ? "Loading…" : "Older"}
            </Button>
          </p>
        )}
      </div>
    </>
  );
}
