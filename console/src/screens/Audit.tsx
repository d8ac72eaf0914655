import { Menu } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Download, ScrollText, Search as SearchIcon, X } from "lucide-react";
import { type FormEvent, useEffect, useMemo, useState } from "react";
import type { Command } from "../api/client";
import * as q from "../api/queries";
import type { CommandFilter } from "../api/queries/commands";
import { GROUPS, kindsOf, type Outcome, type Titles } from "../audit";
import { Button } from "../components/Button";
import { useAgentTitle, useToolTitle, useWorkflowTitle } from "../components/catalog";
import { CommandRow } from "../components/CommandRow";
import { Bar } from "../components/Page";
import { Blank, Failed, Skeleton } from "../components/States";
import { count, dayTitle, zoneName } from "../format";
import { useNow } from "../live/now";
import type { Search } from "../router";
import classes from "./Audit.module.css";

const MINUTE = 60_000;
/** The outcomes that one looks for together, by the word in the URL. */
const OUTCOMES: Record<string, { word: string; status: Outcome[] }> = {
  open: { word: "Open", status: ["proposed", "pending", "delivered"] },
  wrong: { word: "Refused or failed", status: ["refused", "failed"] },
};

function filterOf(url: Search): CommandFilter {
  return {
    principal: url.principal,
    kind: kindsOf(url.kind),
    status: url.status ? OUTCOMES[url.status]?.status : undefined,
    target: url.target,
    q: url.q,
  };
}
function useTitles(): Titles {
  const titles = { workflow: useWorkflowTitle(), agent: useAgentTitle(), tool: useToolTitle() };
  return (noun, name) => titles[noun](name);
}

function Find({ words, onChange }: { words: string; onChange(words: string): void }) {
  const [typed, setTyped] = useState(words);
  useEffect(() => setTyped(words), [words]);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    onChange(typed.trim());
  };
  return (
    <form onSubmit={submit} role="search">
      <label>
        <SearchIcon size={14} aria-hidden />
        <input
          value={typed}
          onChange={(e) => setTyped(e.target.value)}
          onBlur={() => typed.trim() !== words && onChange(typed.trim())}
          placeholder="Who, why, on what, or an id"
          aria-label="Search the audit log"
          maxLength={300}
        />
      </label>
    </form>
  );
}

/** What fits the filters, as a file. */
function Export({ filter }: { filter: CommandFilter }) {
  return (
    <Menu width={200} position="bottom-end">
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

/** Who asked for what and why, and what became of it. Nothing is ever taken out of it. */
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
  const flip = (key: "kind" | "status", value: string) => set({ [key]: url[key] === value ? undefined : value });
  const clear = () =>
    set({ principal: undefined, kind: undefined, status: undefined, target: undefined, q: undefined });
  const filtered = !!(url.principal || url.kind || url.status || url.target || url.q);
  const all = me?.permissions.includes("audit");
  return (
    <>
      <Bar crumbs={[{ word: "Audit" }]}>
        {filtered && (
          <Button look="quiet" onClick={clear}>
            Clear the filters
          </Button>
        )}
        <Export filter={filter} />
      </Bar>
      <div className={classes.filters} role="group" aria-label="Filters">
        <Find words={url.q ?? ""} onChange={(words) => set({ q: words || undefined })} />
        {(["principal", "target"] as const).map(
          (k) =>
            url[k] && (
              <Button key={k} small onClick={() => set({ [k]: undefined })}>
                {k === "principal" ? "by" : "on"} {url[k]}
                <X size={12} aria-label="remove" />
              </Button>
            ),
        )}
        {Object.entries(GROUPS).map(([key, g]) => (
          <button type="button" key={key} aria-pressed={url.kind === key} onClick={() => flip("kind", key)}>
            {g.word}
          </button>
        ))}
        <hr />
        {Object.entries(OUTCOMES).map(([key, o]) => (
          <button type="button" key={key} aria-pressed={url.status === key} onClick={() => flip("status", key)}>
            {o.word}
          </button>
        ))}
        <span className="num">
          {me && !all
            ? "Only your own: everybody’s take the role auditor"
            : data && `${count(commands.length)}${hasNextPage ? " or more" : ""}, none ever removed`}
        </span>
      </div>
      <div className={classes.cols} aria-hidden>
        <span className="cut" title={zoneName()}>
          When
        </span>
        <span>Who</span>
        <span>Did what, and why</span>
        <span>On</span>
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
            title={filtered ? "Nothing fits" : "Nothing has been asked yet"}
            command={filtered ? undefined : "agentgrid audit list"}
          >
            {filtered ? (
              <>
                <p>No command fits what you filter by.</p>
                <Button onClick={clear}>Clear the filters</Button>
              </>
            ) : (
              <p>Each change that somebody asks for is here from then on, also what is refused.</p>
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
              {isFetchingNextPage ? "Reading…" : "Older"}
            </Button>
          </p>
        )}
      </div>
    </>
  );
}
