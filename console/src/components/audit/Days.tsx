import { Popover } from "@mantine/core";
import { CalendarDays, X } from "lucide-react";
import { useState } from "react";
import { day, exact, zoneName } from "../../format";
import type { Search } from "../../router";
import { addDays, dayOf, dayStart } from "../../zoned";
import { Button } from "../Button";
import classes from "./Days.module.css";

type Range = Pick<Search, "since" | "until">;
const QUICK: [string, number][] = [
  ["Today", 0],
  ["Since yesterday", 1],
  ["7 days", 6],
  ["30 days", 29],
];
const valid = (iso: string | undefined) => (iso && !Number.isNaN(Date.parse(iso)) ? iso : undefined);
/** The last day of a range with an exclusive end. */
const lastDay = (until: string) => dayOf(new Date(Date.parse(until) - 1).toISOString());

/** A range of days in words, in the viewer's zone. */
function wordsOf({ since, until }: Range): string {
  const from = since && day(since);
  const to = until && day(Date.parse(until) - 1);
  if (from && to) return from === to ? from : `${from} to ${to}`;
  return from ? `since ${from}` : to ? `until ${to}` : "Any day";
}
/** A range of whole days in the viewer's zone. The URL holds the instants, so that a link shows the same everywhere. */
export function Days({ since: from, until: to, onChange }: Range & { onChange(range: Range): void }) {
  const [open, setOpen] = useState(false);
  const since = valid(from);
  const until = valid(to);
  const chosen = !!(since || until);
  const put = (next: Range) => onChange({ since, until, ...next });
  const today = dayOf(new Date().toISOString());
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-start" width={300} trapFocus shadow="md">
      <Popover.Target>
        <button
          type="button"
          className={classes.open}
          data-look="days"
          aria-expanded={open}
          data-chosen={chosen || undefined}
          onClick={() => setOpen(!open)}
        >
          <CalendarDays size={14} aria-hidden />
          {wordsOf({ since, until })}
        </button>
      </Popover.Target>
      <Popover.Dropdown>
        <div className={classes.days}>
          <div className={classes.quick}>
            {QUICK.map(([word, back]) => (
              <Button
                key={word}
                small
                onClick={() => onChange({ since: dayStart(addDays(today, -back)), until: undefined })}
              >
                {word}
              </Button>
            ))}
          </div>
          <label>
            From
            <input
              type="date"
              max={until ? lastDay(until) : undefined}
              value={since ? dayOf(since) : ""}
              onChange={(e) => put({ since: dayStart(e.target.value) })}
            />
          </label>
          <label>
            To
            <input
              type="date"
              min={since ? dayOf(since) : undefined}
              value={until ? lastDay(until) : ""}
              onChange={(e) => put({ until: e.target.value ? dayStart(addDays(e.target.value, 1)) : undefined })}
            />
          </label>
          <p>
            Whole days in {zoneName()}.
            {since && (
              <>
                <br />
                From {exact(since).replace(".000", "")}
              </>
            )}
            {until && (
              <>
                <br />
                until {exact(until).replace(".000", "")}
              </>
            )}
          </p>
          {chosen && (
            <Button
              small
              look="quiet"
              icon={<X size={13} aria-hidden />}
              onClick={() => onChange({ since: undefined, until: undefined })}
            >
              Any day
            </Button>
          )}
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}
