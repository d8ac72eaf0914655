import { Sparkles } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import type { TimelineStep } from "../../api/client";
import { words } from "../../format";
import { openTurns, applyDeltas, type Delta, type LiveTurn } from "../../live/deltas";
import { useEvents, type LiveEvent } from "../../live/stream";
import type { components } from "../../api/schema";
import { Text } from "../Text";
import { titleOf } from "../timeline/model";
import classes from "./Writing.module.css";

type StepSummary = components["schemas"]["StepSummary"];

/** What models are writing in this run. Empty for users who can't read payloads: they receive no deltas. */
function useWriting(run_id: string): LiveTurn[] {
  const [turns, setTurns] = useState<LiveTurn[]>([]);
  useEffect(() => setTurns([]), [run_id]);
  useEvents(
    useCallback(
      (events: LiveEvent[]) => {
        const mine = events.filter((e) => e.run_id === run_id);
        const parts = mine.filter((e) => e.kind === "delta").map((e) => e.data as Delta);
        const ended = mine
          .filter((e) => e.kind === "step")
          .map((e) => e.data as StepSummary)
          .filter((s) => s.kind === "model" && s.closed_at);
        if (mine.some((e) => e.kind === "end")) setTurns([]);
        else if (parts.length || ended.length) setTurns((old) => openTurns(applyDeltas(old, parts), ended));
      },
      [run_id],
    ),
  );
  return turns;
}

/** Model responses while they stream: always quoted, always plain text. Each disappears when its turn ends. */
export function Writing({ run_id, steps }: { run_id: string; steps: TimelineStep[] }) {
  const turns = useWriting(run_id);
  if (!turns.length) return null;
  const agent = (name: string) => {
    const step = steps.find((s) => s.kind === "agent" && s.name === name);
    return step ? titleOf(step) : words(name);
  };
  return (
    <section className={classes.writing} aria-label="Live model output">
      {turns.map((w) => (
        <figure key={w.key}>
          <figcaption>
            <Sparkles size={13} aria-hidden />
            <b>
              <Text>{agent(w.agent)}</Text>
            </b>{" "}
            is writing turn {w.turn}
            {w.attempt > 1 && `, attempt ${w.attempt}`}
            {w.incomplete && <i>incomplete</i>}
          </figcaption>
          <blockquote>
            <p>
              <Text>{w.text}</Text>
            </p>
          </blockquote>
          {w.tools.length > 0 && (
            <p className={classes.tools}>
              Calling <Text>{w.tools.join(", ")}</Text>
            </p>
          )}
        </figure>
      ))}
    </section>
  );
}
