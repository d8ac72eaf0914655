import { useQuery } from "@tanstack/react-query";
import { ChevronDown } from "lucide-react";
import { type ReactNode, useState } from "react";
import * as q from "../../api/queries";
import { count } from "../../format";
import { filterOf, type Name } from "../../runs";
import { ORDER, STATUS, StatusIcon, type Status } from "../../status";
import { AgentTitle, ToolTitle, WorkflowTitle } from "./Titles";
import classes from "./Facets.module.css";
import type { Filter } from "./useFilter";
import { Text } from "../Text";

const FEW = 12;
const FOLDED = { initiator: "Started by", agent: "Agent", tool: "Tool", tag: "Tag" } as const;

interface Value {
  value: string;
  count?: number;
}
interface SectionProps {
  filter: Filter;
  name: Name;
  title: string;
  values: Value[];
  more?: number;
  /** The counts are lower bounds. */
  lowerBound?: boolean;
  folded?: boolean;
  word(value: string): ReactNode;
}
function Section({ filter, name, title, values, more = 0, lowerBound, folded, word }: SectionProps) {
  const chosen = filter.values[name] ?? [];
  const [open, setOpen] = useState(!folded || chosen.length > 0);
  const [all, setAll] = useState(false);
  const missing = chosen.filter((c) => !values.some((v) => v.value === c)).map((value) => ({ value }));
  const rows: Value[] = [...missing, ...values];
  if (!rows.length) return null;
  const rest = rows.length - FEW;
  return (
    <section>
      <h2>
        {folded ? (
          <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
            {title}
            <ChevronDown size={12} aria-hidden />
          </button>
        ) : (
          title
        )}
      </h2>
      {open &&
        rows.slice(0, all || name === "state" ? undefined : FEW).map((v) => (
          <button
            type="button"
            key={v.value}
            data-zero={v.count === 0 || undefined}
            aria-pressed={chosen.includes(v.value)}
            onClick={() => filter.flip(name, v.value)}
          >
            {word(v.value)}
            <i title={lowerBound ? "At least: only the newest runs are counted" : undefined}>
              {v.count !== undefined && `${count(v.count)}${lowerBound && v.count ? "+" : ""}`}
            </i>
          </button>
        ))}
      {open && rest > 0 && name !== "state" && !all && (
        <button type="button" onClick={() => setAll(true)}>
          <span className="muted">{count(rest)} more</span>
        </button>
      )}
      {open && all && more > 0 && <p>and {count(more)} more; use search</p>}
    </section>
  );
}

/** The filters of the list, each value with its number of matching runs. */
export function Facets({ filter }: { filter: Filter }) {
  const { sort: _, ...values } = filter.values;
  const { data, error } = useQuery({ ...q.runs.facets(filterOf(values)), placeholderData: (old) => old });
  const states = new Map(data?.state.items.map((i) => [i.value as Status, i.count]));
  const cut = (word: string) => (
    <span className="cut">
      <Text>{word}</Text>
    </span>
  );
  const named = (title: ReactNode) => <span className={classes.name}>{title}</span>;
  return (
    <>
      {error && !data && <p className={classes.fault}>Counts are unavailable right now. Filters still work.</p>}
      <Section
        filter={filter}
        name="state"
        title="State"
        values={ORDER.map((value) => ({ value, count: states.get(value) }))}
        lowerBound={data && !data.state.complete}
        word={(s) => (
          <>
            <StatusIcon status={s as Status} size={13} />
            {cut(STATUS[s as Status].word)}
          </>
        )}
      />
      <Section
        filter={filter}
        name="workflow"
        title="Workflow"
        values={data?.workflow.items ?? []}
        more={data?.workflow.more}
        lowerBound={data && !data.workflow.complete}
        word={(w) => named(<WorkflowTitle name={w} />)}
      />
      {(Object.keys(FOLDED) as (keyof typeof FOLDED)[]).map((name) => (
        <Section
          key={name}
          filter={filter}
          name={name}
          title={FOLDED[name]}
          values={data?.[name].items ?? []}
          more={data?.[name].more}
          lowerBound={data && !data[name].complete}
          folded
          word={(v) =>
            name === "agent" ? named(<AgentTitle name={v} />) : name === "tool" ? named(<ToolTitle name={v} />) : cut(v)
          }
        />
      ))}
    </>
  );
}
