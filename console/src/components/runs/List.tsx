import { X } from "lucide-react";
import type { MouseEvent } from "react";
import type { Run } from "../../api/client";
import { aboutOf, flowTitle, shortId } from "../../format";
import { type Name, says } from "../../runs";
import classes from "../../screens/Runs.module.css";
import { visible } from "../../unseen";
import { Button, ButtonLink } from "../Button";
import { useWorkflowTitle } from "../catalog";
import { Blank } from "../States";
import { RunRow } from "./RunRow";
import { AgentTitle, ToolTitle } from "./Titles";
import type { Filter } from "./useFilter";
import { Text } from "../Text";

/** What the list is filtered by, each to be taken away. */
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
            <Text>{says(name, value, title)}</Text>
          )}
        </span>
        <X size={12} aria-label="remove" />
      </Button>
    )),
  );
}

/** In place of rows. */
export function Nothing({ filter }: { filter: Filter }) {
  if (filter.missing)
    return (
      <Blank title="This view is gone">
        <p>It was deleted, or it is private to somebody else.</p>
        <ButtonLink to="/runs">To all runs</ButtonLink>
      </Blank>
    );
  if (filter.filtered)
    return (
      <Blank title="No run fits">
        <p>
          No run fits what you filter by. The search reads references, subjects, open approvals, workflows and ends of
          ids.
        </p>
        <Button onClick={() => filter.set({})}>Clear the filters</Button>
      </Blank>
    );
  return (
    <Blank title="No run has started yet" command="agentgrid run start WORKFLOW --input @input.json --watch">
      <p>What runs, waits and fails will be here. The page of a workflow has the form for its input.</p>
      <ButtonLink to="/workflows">To the workflows</ButtonLink>
    </Blank>
  );
}

interface SlotProps {
  top: number;
  run: Run | undefined;
  chosen: Map<string, Run> | null;
  onFlip(e: MouseEvent): void;
}
/** A row in its place, with a box to select it by. */
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
