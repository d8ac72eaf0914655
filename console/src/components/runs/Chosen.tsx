import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Check, X } from "lucide-react";
import { useState } from "react";
import type { Run } from "../../api/client";
import { act, type Verb } from "../../api/queries/runs";
import { aboutOf, flowTitle, plural, sentence, shortId } from "../../format";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { Dialog } from "../Dialog";
import { useAway } from "../States";
import classes from "./Chosen.module.css";
import { sendAll } from "./many";
import { MOST } from "./usePages";
import { Text } from "../Text";

const OPEN = new Set(["queued", "running", "waiting", "paused", "cancelling"]);
type BulkVerb = Extract<Verb, "pause" | "resume" | "cancel" | "terminate">;
interface Words {
  word: string;
  done: string;
  text: string;
  danger?: boolean;
  /** Whether it applies to a run in this state. */
  takes(status: string): boolean;
}
const VERBS: Record<BulkVerb, Words> = {
  pause: {
    word: "Pause",
    done: "pausing",
    text: "Calls in progress finish; no new ones are made until someone resumes the runs.",
    takes: (s) => OPEN.has(s) && s !== "paused" && s !== "cancelling",
  },
  resume: {
    word: "Resume",
    done: "resumed",
    text: "Held calls are made now.",
    takes: (s) => s === "paused",
  },
  cancel: {
    word: "Cancel",
    done: "cancelling",
    text: "Each run is asked to stop and may clean up first.",
    danger: true,
    takes: (s) => OPEN.has(s) && s !== "cancelling",
  },
  terminate: {
    word: "Terminate",
    done: "terminated",
    text: "They stop immediately and can’t clean up. What their tools have started isn’t undone.",
    danger: true,
    takes: (s) => OPEN.has(s),
  },
};

interface Task {
  verb: BulkVerb;
  runs: Run[];
  reason: string | null;
  key: string;
}
/** The outcome for each run. A request without a response is retried with the same key, so that nothing happens twice. */
function Outcomes({ task, outcomes, onAgain, onClose }: OutcomesProps) {
  const pending = task.runs.length - outcomes.size;
  const failed = task.runs.filter((r) => outcomes.get(r.run_id));
  const { word, done } = VERBS[task.verb];
  const heading = pending
    ? `${word}: ${outcomes.size} of ${task.runs.length}`
    : `${plural(task.runs.length - failed.length, "run")} ${done}${failed.length ? `, ${failed.length} failed` : ""}`;
  return (
    <Dialog title={heading} onClose={() => !pending && onClose()} wide>
      <h2 aria-live="polite">{heading}</h2>
      <ul className={classes.outcomes}>
        {[...failed, ...task.runs.filter((r) => !failed.includes(r))].map((r) => {
          const fault = outcomes.get(r.run_id);
          return (
            <li key={r.run_id}>
              {fault ? <X size={14} aria-hidden /> : <Check size={14} aria-hidden data-done={fault === null} />}
              <Link to="/runs/$id" params={{ id: r.run_id }} className="cut">
                <Text>{flowTitle(r)}</Text>{" "}
                <span className="muted">
                  <Text>{aboutOf(r) || shortId(r.run_id)}</Text>
                </span>
              </Link>
              <span>{fault ? <Text>{sentence(fault)}</Text> : fault === null ? done : "…"}</span>
            </li>
          );
        })}
      </ul>
      <footer className={classes.foot}>
        {!pending && failed.length > 0 && <Button onClick={onAgain}>Retry these {failed.length}</Button>}
        <Button look="ink" data-autofocus disabled={pending > 0} onClick={onClose}>
          Close
        </Button>
      </footer>
    </Dialog>
  );
}
interface OutcomesProps {
  task: Task;
  outcomes: Map<string, string | null>;
  onAgain(): void;
  onClose(): void;
}

interface Props {
  runs: Run[];
  onAll(): void;
  onClear(): void;
}
/** The selected runs, and the actions for all of them. */
export function Chosen({ runs, onAll, onClear }: Props) {
  const [dialog, setDialog] = useState<BulkVerb>();
  const [task, setTask] = useState<Task>();
  const [outcomes, setOutcomes] = useState(new Map<string, string | null>());
  const queries = useQueryClient();
  const away = useAway();
  const eligible = (verb: BulkVerb) => runs.filter((r) => VERBS[verb].takes(r.status));
  async function send(next: Task, ids: string[]) {
    setTask(next);
    setOutcomes((old) => new Map([...old].filter(([id]) => !ids.includes(id))));
    await sendAll(
      ids,
      (id) => act(id, next.verb, `${next.key}.${id}`, { reason: next.reason }),
      ({ id, fault }) => setOutcomes((old) => new Map([...old, [id, fault]])),
    );
    void queries.invalidateQueries({ queryKey: ["runs", "facets"] });
  }
  const verb = dialog && VERBS[dialog];
  const affected = dialog ? eligible(dialog) : [];
  const left = runs.length - affected.length;
  return (
    <div className={classes.bar} role="toolbar" aria-label="Selected runs">
      <b aria-live="polite">
        {plural(runs.length, "run")} selected{runs.length >= MOST && ", the maximum"}
      </b>
      {(Object.keys(VERBS) as BulkVerb[]).map((v) => (
        <Button
          key={v}
          small
          disabled={away || !eligible(v).length}
          danger={VERBS[v].danger}
          onClick={() => setDialog(v)}
        >
          {VERBS[v].word}
        </Button>
      ))}
      <Button small look="quiet" onClick={onAll}>
        Select all shown
      </Button>
      <Button small look="quiet" keys="Esc" onClick={onClear}>
        Done
      </Button>
      {dialog && verb && (
        <Confirm
          title={`${verb.word} ${plural(affected.length, "run")}?`}
          text={`${verb.text}${left ? ` ${plural(left, "selected run")} can’t do this now and ${left === 1 ? "is" : "are"} skipped.` : ""}`}
          verb={`${verb.word} ${affected.length}`}
          danger={verb.danger}
          onClose={() => setDialog(undefined)}
          onConfirm={(reason, key) => {
            setOutcomes(new Map());
            const ids = affected.map((r) => r.run_id);
            void send({ verb: dialog, runs: affected, reason, key }, ids);
            return Promise.resolve();
          }}
        />
      )}
      {task && (
        <Outcomes
          task={task}
          outcomes={outcomes}
          onAgain={() =>
            void send(
              task,
              [...outcomes].filter(([, fault]) => fault).map(([id]) => id),
            )
          }
          onClose={() => {
            setTask(undefined);
            onClear();
          }}
        />
      )}
    </div>
  );
}
