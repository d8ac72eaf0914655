import { useDebouncedValue, useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Inbox as InboxIcon, Maximize2 } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import type { Approval } from "../api/client";
import * as q from "../api/queries";
import { LISTS } from "../api/queries/approvals";
import { Kbd } from "../components/Button";
import { SimilarApprovals, ApprovalRow, groupsOf, shapesOf } from "../components/Groups";
import { Letter } from "../components/letter/Letter";
import { Bar } from "../components/Page";
import { Blank, Failed, Skeleton } from "../components/States";
import { plural } from "../format";
import { useKeys } from "../live/keys";
import type { Search } from "../router";
import classes from "./Inbox.module.css";

const PHONE = "(max-width: 820px)";
const TYPING = 200; // ms
const WHOSE = { me: "For me", all: "All pending", done: "Decided" } as const;
type Whose = keyof typeof WHOSE;

interface PaneProps {
  id: string;
  place: string;
  follows: boolean;
  onDecided(): void;
}
function Pane({ id, place, follows, onDecided }: PaneProps) {
  const { data, error, refetch } = useQuery(q.approvals.one(id));
  return (
    <div className={classes.pane}>
      <nav className={classes.tools} aria-label="This approval">
        <span className="num">{place}</span>
        {data && (
          <Link to="/runs/$id" params={{ id: data.run_id }}>
            View run
          </Link>
        )}
        <Link to="/approvals/$id" params={{ id }} aria-label="Open on its own page">
          <Maximize2 size={14} aria-hidden />
        </Link>
      </nav>
      {data ? (
        <Letter key={id} approval={data} follows={follows} onDecided={onDecided} />
      ) : error ? (
        <Failed error={error} reset={() => void refetch()} />
      ) : (
        <Skeleton rows={8} inset />
      )}
    </div>
  );
}
function Nothing({ whose }: { whose: Whose }) {
  if (whose === "done") return <Blank icon={<InboxIcon size={20} />} title="No decisions yet" />;
  return (
    <Blank icon={<InboxIcon size={20} />} title={whose === "me" ? "Nothing is waiting for you" : "Nothing is waiting"}>
      <p>New approvals appear here, on the badge and in the tab’s title.</p>
      <Link to="/approvals" search={{ whose: "done" }} className="link">
        View past decisions
      </Link>
    </Blank>
  );
}
function Tabs({ whose }: { whose: Whose }) {
  const { data: counts } = useQuery(q.approvals.counts());
  const count: Partial<Record<Whose, number>> = { me: counts?.mine.count, all: counts?.all.count };
  return (
    <div className={classes.tabs} role="group" aria-label="Which approvals">
      {(Object.keys(WHOSE) as Whose[]).map((w) => (
        <Link
          key={w}
          to="/approvals"
          search={w === "me" ? {} : { whose: w }}
          activeOptions={{ exact: true }}
          activeProps={{ "aria-current": undefined }}
          aria-current={w === whose ? "page" : undefined}
        >
          {WHOSE[w]} {count[w] !== undefined && <i>{count[w]}</i>}
        </Link>
      ))}
    </div>
  );
}
function Find() {
  const go = useNavigate();
  const { q: words } = useSearch({ strict: false }) as Search;
  return (
    <input
      className={classes.find}
      type="search"
      value={words ?? ""}
      onChange={(e) => {
        const typed = e.target.value || undefined;
        void go({ to: ".", search: (old: Search) => ({ ...old, q: typed }), replace: true });
      }}
      maxLength={200}
      placeholder="Find"
      aria-label="Find approvals"
    />
  );
}

/** The approval queue: the list on the left, most urgent first; the selected letter on the right. */
export default function Inbox() {
  const phone = useMediaQuery(PHONE, matchMedia(PHONE).matches);
  const go = useNavigate();
  const url = useSearch({ strict: false }) as Search;
  const whose: Whose = url.whose && Object.hasOwn(WHOSE, url.whose) ? (url.whose as Whose) : "me";
  const [text] = useDebouncedValue(url.q, TYPING);
  const { data, error, refetch } = useQuery(q.approvals.list({ ...LISTS[whose], q: text || undefined }));
  const groups = useMemo(
    () =>
      whose === "done"
        ? [{ title: "Newest first", items: data?.items ?? [] }].filter((g) => g.items.length)
        : groupsOf(data?.items ?? []),
    [data, whose],
  );
  const order = groups.flatMap((g) => shapesOf(g.items).flat()).map((a) => a.approval_id);
  // A decided approval leaves the list; its letter stays open until another one is opened.
  const [kept, keep] = useState<string>();
  const [follows, setFollows] = useState(false);
  const requested = url.at;
  const at =
    requested && (order.includes(requested) || requested === kept)
      ? requested
      : kept && (order.includes(kept) || !requested)
        ? kept
        : order[0];
  // A reordered list must not replace the letter that is being read.
  useEffect(() => keep(at), [at]);
  const select = (id: string | undefined, next = false) => {
    setFollows(next);
    keep(id);
    void go({ to: ".", search: (old: Search) => ({ ...old, at: id }), replace: true });
  };
  const open = (id: string) => (phone ? void go({ to: "/approvals/$id", params: { id } }) : select(id));
  const move = (by: number) => {
    const here = at ? order.indexOf(at) : -1;
    const next = order[Math.min(order.length - 1, Math.max(0, here + by))];
    if (next) select(next);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: (e) =>
      at &&
      !(e.target as Element).closest("article, a, button, input, select, textarea") &&
      void go({ to: "/approvals/$id", params: { id: at } }),
  });
  const row = (a: Approval) => (
    <ApprovalRow key={a.approval_id} a={a} at={at === a.approval_id && !phone} onOpen={open} />
  );
  const empty = !order.length && (phone || !kept);
  return (
    <>
      <Bar crumbs={[{ word: "Approvals" }]}>
        <Tabs whose={whose} />
        <Find />
      </Bar>
      {!data ? (
        error ? (
          <Failed error={error} reset={() => void refetch()} />
        ) : (
          <Skeleton rows={10} inset />
        )
      ) : empty && text ? (
        <Blank icon={<InboxIcon size={20} />} title="No matching approvals">
          <p>No approval in this list matches by title, reference or id.</p>
        </Blank>
      ) : empty ? (
        <Nothing whose={whose} />
      ) : (
        <div className={classes.panes}>
          <div className={classes.list}>
            {groups.map((g) => (
              <section key={g.title} aria-label={`${g.title}, ${plural(g.items.length, "approval")}`}>
                <h2 data-soon={("soon" in g && g.soon) || undefined}>
                  {g.title}
                  <i>{g.items.length}</i>
                </h2>
                <ul>
                  {shapesOf(g.items).map((s) =>
                    s.length > 1 && whose !== "done" ? (
                      <SimilarApprovals key={s[0]!.shape} items={s} at={phone ? undefined : at} onOpen={open} />
                    ) : (
                      s.map(row)
                    ),
                  )}
                </ul>
              </section>
            ))}
            {data.next_cursor && (
              <p className={classes.foot}>Showing the first {order.length}; search to find the others.</p>
            )}
            <p className={classes.keys}>
              <Kbd>J</Kbd>
              <Kbd>K</Kbd> move <Kbd>A</Kbd> approve <Kbd>R</Kbd> reject <Kbd>E</Kbd> edit
            </p>
          </div>
          {!phone && at && (
            <Pane
              key={at}
              id={at}
              follows={follows}
              place={order.includes(at) ? `${order.indexOf(at) + 1} of ${order.length}` : "decided"}
              onDecided={() =>
                select(
                  order.find((id) => id !== at),
                  true,
                )
              }
            />
          )}
        </div>
      )}
    </>
  );
}
