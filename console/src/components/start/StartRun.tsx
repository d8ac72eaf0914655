import { useMemo, useState } from "react";
import type { WorkflowDetail } from "../../api/client";
import { moment, plural } from "../../format";
import { Button } from "../Button";
import { check, pathOf, placeOf, split, stillValid, type Fault } from "../form/faults";
import { formSchema, initial, toInput } from "../form/schema";
import { controlId, SchemaForm } from "../form/SchemaForm";
import { useAway } from "../States";
import { JsonSide } from "./JsonSide";
import { isUsed, More, NONE, type Extra } from "./More";
import classes from "./Start.module.css";
import { useStart } from "./useStart";

const SHOWN = 4;
const CONTROL = "input, select, textarea, button";

interface Props {
  workflow: WorkflowDetail;
  /** The number of workers that serve it, if known. */
  workers?: number;
  me: string;
  /** The input of an earlier run, to start from. */
  earlier?: { value: unknown };
  tags?: string[];
}
/** Starts a run: its input as a form and as JSON, what will happen, and the button. */
export default function StartRun({ workflow: w, workers, me, earlier, tags }: Props) {
  const schema = useMemo(() => formSchema(w.input_schema), [w.input_schema]);
  const [value, setValue] = useState(() => (earlier ? earlier.value : initial(schema, schema)) ?? undefined);
  const [extra, setExtra] = useState<Extra>({ ...NONE, tags: tags ?? [] });
  const [more, setMore] = useState(!!tags?.length);
  const [tried, setTried] = useState(false);
  const [readable, setReadable] = useState(true);
  const away = useAway();
  const run = useStart(w.name);
  const input = useMemo(() => toInput(value, w.input_schema), [value, w.input_schema]);
  const refused = useMemo(() => split(run.faults ?? []), [run.faults]);
  const faults = useMemo(() => {
    const own = tried ? check(input, w.input_schema) : [];
    const theirs = stillValid(refused.input, run.submitted?.input, input);
    return [...own, ...theirs.filter((t) => !own.some((o) => o.pointer === t.pointer))];
  }, [tried, input, w.input_schema, refused, run.submitted]);
  const nothing = w.input_schema.type === "null";
  const free = !nothing && !!schema["x-any"];
  function submit() {
    setTried(true);
    const problems = check(input, w.input_schema);
    if (problems.length) return focus(problems[0]!);
    run.start({
      input,
      tags: extra.tags,
      reference: extra.reference.trim() || null,
      note: extra.note.trim() || null,
      start_at: extra.start_at ?? null,
    });
  }
  const atField = (field: string) =>
    refused.rest.filter((f) => f.pointer === `/${field}` || f.pointer.startsWith(`/${field}/`)).map((f) => f.message);
  const hasFaults = faults.length > 0 || refused.rest.length > 0;
  const open = more || refused.rest.length > 0;
  return (
    <form
      className={classes.start}
      aria-label={`Start ${w.title}`}
      aria-busy={run.busy}
      noValidate
      data-alone={nothing || free || undefined}
      onSubmit={(e) => e.preventDefault()}
      onKeyDown={(e) => {
        if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && readable && !away) submit();
      }}
    >
      {nothing ? (
        <p className={classes.none}>No input needed.</p>
      ) : (
        <>
          {!free && (
            <SchemaForm schema={schema} value={value} faults={faults} disabled={run.busy} onChange={setValue} />
          )}
          <JsonSide
            value={input}
            alone={free}
            disabled={run.busy}
            onChange={(v) => setValue(v ?? undefined)}
            onReadable={setReadable}
          />
        </>
      )}
      {open && <More value={extra} faultsAt={atField} disabled={run.busy} onChange={setExtra} />}
      <Outcome run={run} faults={faults} hasFaults={hasFaults} />
      <footer>
        <Button look="ink" disabled={run.busy || away || !readable} onClick={submit} title="Ctrl Enter">
          {run.busy ? "Starting…" : "Start"}
        </Button>
        <WillHappen workflow={w} workers={workers} me={me} at={extra.start_at} />
        <button type="button" aria-expanded={open} onClick={() => setMore(!more)}>
          {open && !isUsed(extra) ? "Hide these" : "Reference, tags, start time"}
        </button>
      </footer>
    </form>
  );
}
/** Focus the control of a fault, or the nearest one around it. */
function focus(fault: Fault) {
  // A collapsed section first expands to show its fault.
  setTimeout(() => {
    for (let path = pathOf(fault.pointer); ; path = path.slice(0, -1)) {
      const control = document.getElementById(controlId(path));
      if (control)
        return (control.matches(CONTROL) ? control : (control.querySelector<HTMLElement>(CONTROL) ?? control)).focus();
      if (!path.length) return;
    }
  }, 50);
}

/** What will happen, before it does. */
function WillHappen({ workflow: w, workers, me, at }: Pick<Props, "workflow" | "workers" | "me"> & { at?: string }) {
  const served =
    w.served === false
      ? ", where no worker serves it now: it waits for one"
      : w.served === null
        ? ""
        : `, served by ${workers ? plural(workers, "worker") : "a worker"}`;
  return (
    <p>
      Starts {w.title} <code>{w.version.slice(0, 8)}</code> on {w.task_queue}
      {served}, as <b>{me}</b>
      {at && `, not before ${moment(at)}`}.
    </p>
  );
}
/** Why it wasn't started: each fault links to its field; any other error says what to do. */
function Outcome({
  run,
  faults,
  hasFaults,
}: {
  run: ReturnType<typeof useStart>;
  faults: Fault[];
  hasFaults: boolean;
}) {
  if (run.startedBefore)
    return (
      <div className={classes.outcome} role="alert">
        <p>This form already started a run, with its earlier input. See the newest runs below.</p>
        <Button small onClick={run.renew}>
          Start another one
        </Button>
      </div>
    );
  const shown = faults.slice(0, SHOWN);
  const otherError = run.error && !run.faults?.length;
  return (
    <div className={classes.outcome} role="alert" hidden={!hasFaults && !otherError}>
      {shown.map((f) => (
        <p key={f.pointer}>
          <button type="button" onClick={() => focus(f)}>
            {placeOf(f.pointer)}
          </button>{" "}
          {f.message.replace(/^./, (c) => c.toLowerCase())}
        </p>
      ))}
      {faults.length > SHOWN && <p>{plural(faults.length - SHOWN, "more error")}</p>}
      {otherError && (
        <p>
          {run.error!.message} {run.unknown && "You can press Start again: it won’t start a second run."}
        </p>
      )}
    </div>
  );
}
