import { useQuery } from "@tanstack/react-query";
import { Search } from "lucide-react";
import { useState } from "react";
import type { Log } from "../api/client";
import * as q from "../api/queries";
import { clockMs, plural } from "../format";
import { Button } from "./Button";
import classes from "./Logs.module.css";
import { Hidden } from "./States";
import { Text } from "./Text";

const LEVELS = { all: "All", warning: "Warnings", error: "Errors" } as const;
type Least = keyof typeof LEVELS;
const LOUD: Record<Least, string[] | undefined> = {
  all: undefined,
  warning: ["warning", "error", "critical"],
  error: ["error", "critical"],
};

const fields = (l: Log) =>
  l.fields && typeof l.fields === "object"
    ? Object.entries(l.fields)
        .map(([k, v]) => `${k}=${typeof v === "string" ? v : JSON.stringify(v)}`)
        .join(" ")
    : "";

/** Lines of text, never markup. Selecting a step shows its lines only, and says so. */
export function Logs({
  run_id,
  visible,
  step,
  onAll,
}: {
  run_id: string;
  visible: boolean;
  step?: { activity_id: string; title: string };
  onAll(): void;
}) {
  const [least, setLeast] = useState<Least>("all");
  const [words, setWords] = useState("");
  const { data } = useQuery({ ...q.runs.logs(run_id), enabled: visible });
  const wanted = words.toLowerCase();
  const mine = (data?.items ?? []).filter(
    (l) =>
      (!step || l.activity_id === step.activity_id) &&
      (LOUD[least]?.includes(l.level) ?? true) &&
      `${l.message} ${fields(l)}`.toLowerCase().includes(wanted),
  );
  return (
    <section className={classes.logs} aria-label="Logs">
      <header>
        <h2>Logs</h2>
        <span className="muted">{plural(mine.length, "line")}</span>
        {step && (
          <Button look="quiet" small onClick={onAll}>
            only {step.title} ×
          </Button>
        )}
        <div className={classes.levels} role="group" aria-label="Least level">
          {(Object.keys(LEVELS) as Least[]).map((l) => (
            <button type="button" key={l} aria-pressed={least === l} onClick={() => setLeast(l)}>
              {LEVELS[l]}
            </button>
          ))}
        </div>
        <label className={classes.find}>
          <Search size={13} aria-hidden />
          <input
            value={words}
            onChange={(e) => setWords(e.target.value)}
            placeholder="Find in logs"
            aria-label="Find in logs"
          />
        </label>
      </header>
      {!visible && (
        <p className={classes.none}>
          <Hidden />
        </p>
      )}
      <ol tabIndex={0} aria-label="Log lines">
        {mine.map((l) => (
          <li key={l.log_id} data-level={l.level}>
            <time dateTime={l.logged_at}>{clockMs(l.logged_at)}</time>
            <i>{l.level === "info" || l.level === "debug" ? "" : l.level}</i>
            <span className="cut" title={l.logger}>
              <Text>{l.logger.split(".").at(-1) ?? ""}</Text>
            </span>
            <span>
              <Text>{`${l.message} ${fields(l)}`}</Text>
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
