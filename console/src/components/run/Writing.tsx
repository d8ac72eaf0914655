import { Sparkles } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import type { TimelineStep } from "../../api/client";
import { words } from "../../format";
import { unended, written, type Delta, type Written } from "../../live/deltas";
import { useEvents, type LiveEvent } from "../../live/stream";
import type { components } from "../../api/schema";
import { Text } from "../Text";
import { titleOf } from "../timeline/model";
import classes from "./Writing.module.css";

type StepSummary = components["schemas"]["StepSummary"];

/** What models write in this run now. Empty for those who may not read payloads: they get no such parts. */
function useWriting(run_id: string): Written[] {
  const [turns, setTurns] = useState<Written[]>([]);
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
        else if (parts.length || ended.length) setTurns((old) => unended(written(old, parts), ended));
      },
      [run_id],
    ),
  );
  return turns;
}

/** Models' answers while they are written: always a quotation, always text. It is gone when the turn has ended. */
export function Writing({ run_id, steps }: { run_id: string; steps: TimelineStep[] }) {
  const turns = useWriting(run_id);
  if (!turns.length) return null;
  const agent = (name: string) => {
    const step = steps.find((s) => s.kind === "agent" && s.name === name);
    return step ? titleOf(step) : words(name);
  };
  return (
    <section className={classes.writing} aria-label="Being written">
      {turns.map((w) => (
        <figure key={w.key}>
          <figcaption>
            <Sparkles size={13} aria-hidden />
            <b>
              <Text>{agent(w.agent)}</Text>
            </b>{" "}
            writes turn {w.turn}
            {w.attempt > 1 && `, try ${w.attempt}`}
            {w.torn && <i>parts are missing</i>}
          </figcaption>
          <blockquote>
            <p>
              <Text>{w.text}</Text>
            </p>
          </blockquote>
          {w.tools.length > 0 && (
            <p className={classes.tools}>
              It asks for <Text>{w.tools.join(", ")}</Text>
            </p>
          )}
        </figure>
      ))}
    </section>
  );
}
