import { useDebouncedValue } from "@mantine/hooks";
import { Download, Search } from "lucide-react";
import { useLayoutEffect, useRef, useState } from "react";
import type { Log, RunDetail, TimelineStep } from "../../api/client";
import { logsFile, type LogFilter } from "../../api/queries/runs";
import { clockMs, exact, plural } from "../../format";
import { Button } from "../Button";
import { Failed, Hidden } from "../States";
import { Text } from "../Text";
import { titleOf } from "../timeline/model";
import classes from "./Logs.module.css";
import { textOf } from "./logText";
import { useLogs } from "./useLogs";

const LEVELS = { all: "All", warning: "Warnings", error: "Errors" } as const;
type Level = keyof typeof LEVELS;
const TYPING = 300; // milliseconds after the last keystroke
const NEAR = 40; // pixels from the end within which the list follows new lines

/** Opens at the end and follows new lines; if the user has scrolled away, the position stays. */
function useScroll(lines: Log[] | undefined, place = "") {
  const list = useRef<HTMLOListElement>(null);
  const seen = useRef({ place: "", first: 0, height: 0, atEnd: true });
  useLayoutEffect(() => {
    const ol = list.current;
    if (!ol || !lines) return;
    const before = seen.current;
    const first = lines[0]?.log_id ?? 0;
    const here = before.place === place;
    if (here && first !== before.first) ol.scrollTop += ol.scrollHeight - before.height;
    else if (!here || before.atEnd) ol.scrollTop = ol.scrollHeight;
    seen.current = { place, first, height: ol.scrollHeight, atEnd: atEnd(ol) };
  }, [lines, place]);
  const atEnd = (ol: HTMLElement) => ol.scrollHeight - ol.scrollTop - ol.clientHeight < NEAR;
  return { list, onScroll: () => list.current && (seen.current.atEnd = atEnd(list.current)) };
}
const isCalm = (l: Log) => l.level === "info" || l.level === "debug";
const Line = ({ line: l }: { line: Log }) => (
  <li data-level={l.level}>
    <time dateTime={l.logged_at} title={exact(l.logged_at)}>
      {clockMs(l.logged_at)}
    </time>
    <i>{isCalm(l) ? "" : l.level}</i>
    <span className="cut" title={l.logger}>
      <Text>{l.logger.split(".").at(-1) ?? ""}</Text>
    </span>
    <span>
      <Text>{textOf(l)}</Text>
    </span>
  </li>
);

/** Log lines as text, never markup. Selecting a step filters to its lines, and shows the filter. */
export function Logs({ run, step, onAll }: { run: RunDetail; step?: TimelineStep; onAll(): void }) {
  const [minLevel, setMinLevel] = useState<Level>("all");
  const [typed, setTyped] = useState("");
  const [words] = useDebouncedValue(typed.trim(), TYPING);
  const visible = run.payloads_visible;
  const filter: LogFilter = {
    ...(minLevel === "all" ? {} : { min_level: minLevel }),
    ...(words && visible ? { q: words } : {}),
    ...(step ? { execution: step.execution_id, step_event_id: step.event_id } : {}),
  };
  const { lines, place, more, older, error } = useLogs(run.run_id, filter);
  const { list, onScroll } = useScroll(lines, place);
  return (
    <section className={classes.logs} aria-label="Logs">
      <header>
        <h2>Logs</h2>
        <span className="muted">
          {lines && (more ? `last ${plural(lines.length, "line")}` : plural(lines.length, "line"))}
        </span>
        {step && (
          <Button look="quiet" small onClick={onAll}>
            only <Text>{titleOf(step)}</Text> ×
          </Button>
        )}
        <div className={classes.levels} role="group" aria-label="Minimum level">
          {(Object.keys(LEVELS) as Level[]).map((l) => (
            <button type="button" key={l} aria-pressed={minLevel === l} onClick={() => setMinLevel(l)}>
              {LEVELS[l]}
            </button>
          ))}
        </div>
        {visible && (
          <label className={classes.find}>
            <Search size={13} aria-hidden />
            <input
              value={typed}
              onChange={(e) => setTyped(e.target.value)}
              placeholder="Find in logs"
              aria-label="Find in logs"
              maxLength={200}
            />
          </label>
        )}
        <a className={classes.file} href={logsFile(run.run_id, filter)} download aria-label="Download the logs">
          <Download size={14} aria-hidden />
          <span>Download</span>
        </a>
      </header>
      {!visible && (
        <p className={classes.none}>
          <Hidden />
        </p>
      )}
      {!!error && <Failed error={error} />}
      {lines?.length === 0 && (
        <p className={`muted ${classes.none}`}>
          {minLevel !== "all" || words || step
            ? "No matching lines."
            : run.closed_at
              ? "No log lines."
              : "No log lines yet."}
        </p>
      )}
      <ol ref={list} tabIndex={0} aria-label="Log lines" data-calm={lines?.every(isCalm)} onScroll={onScroll}>
        {older && (
          <li className={classes.older}>
            <button type="button" className="link" onClick={() => void older()}>
              Older lines
            </button>
          </li>
        )}
        {lines?.map((l) => (
          <Line key={l.log_id} line={l} />
        ))}
      </ol>
    </section>
  );
}
