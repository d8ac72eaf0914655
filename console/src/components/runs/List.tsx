import { X } from "lucide-react";
import type { MouseEvent } from "react";
import type { Run } from "../../api/client";
import { aboutOf, flowTitle, shortId } from "../../format";
import { type Name, filterText } from "../../runs";
import classes from "../../screens/Runs.module.css";
import { visible } from "../../unseen";
import { Button, ButtonLink } from "../Button";
import { useWorkflowTitle } from "../catalog";
import { Blank } from "../States";
import { RunRow } from "./RunRow";
import { AgentTitle, ToolTitle } from "./Titles";
import type { Filter } from "./useFilter";
import { Text } from "../Text";

/** The active filters, each with a button to remove it. */
export function Chips({ filter }: { filter: Filter }) {
  const title = useWorkflowTitle();
  const all = (Object.keys(filter.values) as Name[]).filter((name) => name !== "q");
  return all.flatMap((name) =>
    filter.values[name]!.map((value) => (
      <Button key={`${name} ${value}`} small onClick={() => filter.flip(name, value)} className={classes.chip}>
        <span className="cut">
          {name === "agent" ? (
            <>
              agent <AgentTitle name={value} />
            </>
          ) : name === "tool" ? (
            <>
              tool <ToolTitle name={value} />
            </>
          ) : (
            <Text>{filterText(name, value, title)}</Text>
          )}
        </span>
        <X size={12} aria-label="remove" />
      </Button>
    )),
  );
}

/** Shown if there are no rows. */
export function Nothing({ filter }: { filter: Filter }) {
  if (filter.missing)
    return (
      <Blank title="View not found">
        <p>It was deleted, or it is someone else’s private view.</p>
        <ButtonLink to="/runs">Go to all runs</ButtonLink>
      </Blank>
    );
  if (filter.filtered)
    return (
      <Blank title="No matching runs">
        <p>
          No runs match these filters. Search covers references, subjects, open approvals, workflows and the ends of
          ids.
        </p>
        <Button onClick={() => filter.set({})}>Clear filters</Button>
      </Blank>
    );
  return (
    <Blank title="No runs yet" command="agentgrid run start WORKFLOW --input @input.json --watch">
      <p>Runs will appear here. A workflow’s page has the form to start one.</p>
      <ButtonLink to="/workflows">Go to workflows</ButtonLink>
    </Blank>
  );
}

interface SlotProps {
  top: number;
  run: Run | undefined;
  chosen: Map<string, Run> | null;
  onFlip(e: MouseEvent): void;
}
/** A positioned row, with a checkbox in selection mode. */
export function Slot({ top, run, chosen, onFlip }: SlotProps) {
  if (!run) return <div className={classes.slot} style={{ transform: `translateY(${top}px)` }} />;
  return (
    <div className={classes.slot} data-choosing={!!chosen || undefined} style={{ transform: `translateY(${top}px)` }}>
      {chosen && (
        <input
          type="checkbox"
          checked={chosen.has(run.run_id)}
          readOnly
          onClick={onFlip}
          aria-label={visible(`Select ${flowTitle(run)} ${aboutOf(run) || shortId(run.run_id)}`)}
        />
      )}
      <RunRow r={run} />
    </div>
  );
}
