import { useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { ListChecks, SlidersHorizontal } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import * as q from "../api/queries";
import { Button, ButtonLink } from "../components/Button";
import { Bar } from "../components/Page";
import { Chosen } from "../components/runs/Chosen";
import { Facets } from "../components/runs/Facets";
import facets from "../components/runs/Facets.module.css";
import { Find } from "../components/runs/Find";
import { Chips, Nothing, Slot } from "../components/runs/List";
import { useFilter } from "../components/runs/useFilter";
import { useFresh } from "../components/runs/useFresh";
import { MOST, useSelection, usePages } from "../components/runs/usePages";
import { Views } from "../components/runs/Views";
import { Side } from "../components/Side";
import { Failed, Skeleton } from "../components/States";
import { count, plural } from "../format";
import { useKeys } from "../live/keys";
import { filterOf } from "../runs";
import classes from "./Runs.module.css";

const ROW = 34;
const TWO_LINES = 54;
const PHONE = "(max-width: 820px)";
const NARROW = "(max-width: 1100px)";

/** The runs that match a filter, newest first. Rows never move while they are being read: new runs wait behind a button. */
export default function Runs() {
  const filter = useFilter();
  const { values } = filter;
  const { sort: _, ...counted } = values;
  const box = useRef<HTMLDivElement>(null);
  const narrow = useMediaQuery(NARROW, matchMedia(NARROW).matches);
  const phone = useMediaQuery(PHONE, matchMedia(PHONE).matches);
  const [sheet, setSheet] = useState(false);
  const { chosen, setChosen, flip } = useSelection();
  const enabled = !filter.pending && !filter.missing;
  const { data, error, isPending, hasNextPage, fetchNextPage, isFetchingNextPage, refetch, restart } = usePages(
    values,
    enabled,
  );
  const { data: counts } = useQuery({ ...q.runs.counts(filterOf(counted)), enabled });
  const { data: me } = useQuery(q.me.me());
  const loaded = useMemo(() => data?.pages.flatMap((p) => p.items) ?? [], [data]);
  const fresh = useFresh(values, loaded, hasNextPage);
  const rows = useVirtualizer({
    count: loaded.length + (hasNextPage ? 1 : 0),
    getScrollElement: () => box.current,
    estimateSize: () => (phone ? TWO_LINES : ROW),
    overscan: 12,
  });
  useEffect(() => rows.measure(), [phone]);
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= loaded.length - 1 && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [last, loaded.length, hasNextPage, isFetchingNextPage]);
  const links = () => [...(box.current?.querySelectorAll("a") ?? [])];
  const focused = () => links().indexOf(document.activeElement as HTMLAnchorElement);
  const focus = (by: number) => links()[Math.max(0, focused() + by)]?.focus();
  const may = !!me?.permissions.includes("control");
  useKeys({
    j: () => focus(1),
    k: () => focus(-1),
    x: () => {
      const at = items[focused()]?.index;
      if (may && at !== undefined && loaded[at]) flip(loaded, at, false);
    },
    Escape: () => (chosen ? setChosen(null) : false),
  });
  const total = counts && `${count(counts.total)}${counts.complete ? "" : " or more"}`;
  const shown = loaded.map((r) => fresh.latest(r));
  return (
    <>
      <Bar crumbs={[{ word: "Runs" }]}>
        <ButtonLink to="/workflows">Start a run</ButtonLink>
      </Bar>
      <Views filter={filter} />
      <div className={classes.page}>
        {!narrow && (
          <aside className={facets.facets} aria-label="Filters">
            <Facets filter={filter} />
          </aside>
        )}
        {narrow && sheet && (
          <Side label="Filters" picked onClose={() => setSheet(false)}>
            <div className={facets.facets} data-sheet>
              <Facets filter={filter} />
              <Button look="ink" onClick={() => setSheet(false)}>
                {counts ? `Show ${total} ${counts.total === 1 ? "run" : "runs"}` : "Show runs"}
              </Button>
            </div>
          </Side>
        )}
        <div className={classes.main}>
          <div className={classes.find}>
            <Find
              words={values.q?.[0] ?? ""}
              onChange={(words) => {
                const { q: __, ...others } = values;
                filter.set(words ? { ...others, q: [words] } : others);
              }}
            />
            {narrow && (
              <Button icon={<SlidersHorizontal size={14} aria-hidden />} onClick={() => setSheet(true)}>
                Filters
              </Button>
            )}
            <Chips filter={filter} />
            {fresh.count > 0 && (
              <Button
                look="quiet"
                small
                onClick={() => {
                  fresh.show();
                  box.current?.scrollTo({ top: 0 });
                  restart();
                }}
              >
                {plural(fresh.count, "new run")}
              </Button>
            )}
            <span className={classes.end}>
              <span className="num muted">{counts && `${total} ${counts.total === 1 ? "run" : "runs"}`}</span>
              {may && !chosen && loaded.length > 0 && (
                <Button
                  small
                  look="quiet"
                  icon={<ListChecks size={14} aria-hidden />}
                  onClick={() => setChosen(new Map())}
                >
                  Select
                </Button>
              )}
            </span>
          </div>
          <div className={classes.cols} aria-hidden data-choosing={!!chosen || undefined}>
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
            ) : isPending && !filter.missing ? (
              <Skeleton rows={12} />
            ) : !shown.length ? (
              <Nothing filter={filter} />
            ) : (
              <div style={{ height: rows.getTotalSize(), position: "relative" }}>
                {items.map((v) => (
                  <Slot
                    key={v.key}
                    top={v.start}
                    run={shown[v.index]}
                    chosen={chosen}
                    onFlip={(e) => flip(shown, v.index, e.shiftKey)}
                  />
                ))}
              </div>
            )}
          </div>
          {chosen && (
            <Chosen
              runs={[...chosen.values()].map((r) => fresh.latest(r))}
              onAll={() => setChosen(new Map(shown.slice(0, MOST).map((r) => [r.run_id, r])))}
              onClear={() => setChosen(null)}
            />
          )}
        </div>
      </div>
    </>
  );
}
