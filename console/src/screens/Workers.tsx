import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleAlert, CloudOff, Cpu } from "lucide-react";
import { useState } from "react";
import * as q from "../api/queries";
import type { TaskQueue, Worker } from "../api/queries/workers";
import { Ago } from "../components/Bits";
import { Button } from "../components/Button";
import { useToolTitle, useWorkflowTitle } from "../components/catalog";
import { Bar, Scroll, Section } from "../components/Page";
import { Blank, Failed, Skeleton, Strip } from "../components/States";
import { count, moment, plural } from "../format";
import { useNow } from "../live/now";
import { WorkerState } from "../status";
import classes from "./Workers.module.css";

/** A worker, or a poller that hasn't sent a heartbeat yet. */
interface Row {
  key: string;
  name: string;
  worker?: Worker;
  polls: string[];
}
const POLLS: Record<string, string> = { "activity,workflow": "both", activity: "activities", workflow: "workflows" };
/** The digest of its code, without the grid's name. */
const buildOf = (w: Worker | undefined) => w?.build?.split(".").at(-1)!.slice(0, 8);

/** Known workers first, then pollers without a worker record. */
function rowsOf(queue: TaskQueue | undefined, workers: Worker[]): Row[] {
  const polls = new Map<string, string[]>();
  for (const p of queue?.pollers ?? []) polls.set(p.identity, [...(polls.get(p.identity) ?? []), p.kind]);
  const registered = workers.map((w) => ({
    key: w.worker_id,
    name: w.identity,
    worker: w,
    polls: polls.get(w.identity) ?? [],
  }));
  const names = new Set(workers.map((w) => w.identity));
  const others = [...polls]
    .filter(([name]) => !names.has(name))
    .map(([name, kinds]) => ({ key: name, name, polls: kinds }));
  return [...registered, ...others];
}

function Slots({ slots, word }: { slots: Worker["activity_slots"]; word: string }) {
  if (!slots) return null;
  const total = slots.used + slots.available;
  return (
    <span className={classes.slots} title={`${slots.used} of ${total} ${word} slots in use`}>
      <span className="num">
        {count(slots.used)} <span className="muted">of {count(total)}</span>
      </span>
      <i aria-hidden>
        <b style={{ width: `${total ? (slots.used / total) * 100 : 0}%` }} />
      </i>
    </span>
  );
}
function WorkerRow({ row }: { row: Row }) {
  const w = row.worker;
  return (
    <tr>
      <th scope="row">
        <div>
          <b className="cut" title={row.name}>
            {row.name}
          </b>
          <span className="cut muted">
            {[w?.host, w?.process && `process ${w.process}`].filter(Boolean).join(", ")}
          </span>
        </div>
      </th>
      <td data-word="State">
        <WorkerState state={w?.status ?? "polls"} />
      </td>
      <td data-word="Heartbeat">{w?.last_heartbeat_at && <Ago at={w.last_heartbeat_at} />}</td>
      <td data-word="Activities">
        <Slots slots={w?.activity_slots ?? null} word="activity" />
      </td>
      <td data-word="Workflow tasks">
        <Slots slots={w?.workflow_slots ?? null} word="workflow" />
      </td>
      <td data-word="Polls for" className="muted">
        {POLLS[row.polls.toSorted().join()] ?? "nothing"}
      </td>
      <td data-word="Build" className="muted" title={w?.build ?? undefined}>
        {buildOf(w)}
      </td>
      <td data-word="Started">{w?.started_at && <Ago at={w.started_at} />}</td>
    </tr>
  );
}

const FEW = 8;
function Names({
  word,
  names,
  titled,
  to,
}: {
  word: string;
  names: string[];
  titled(n: string): string;
  to: "/workflows/$name" | "/tools/$name";
}) {
  const [all, setAll] = useState(false);
  if (!names.length) return null;
  const sorted = names.map((name) => ({ name, title: titled(name) })).sort((a, b) => a.title.localeCompare(b.title));
  return (
    <div>
      <dt>{plural(names.length, word)}</dt>
      <dd>
        {sorted.slice(0, all ? undefined : FEW).map(({ name, title }) => (
          <Link key={name} to={to} params={{ name }}>
            {title}
          </Link>
        ))}
        {names.length > FEW && (
          <Button look="quiet" small onClick={() => setAll(!all)} aria-expanded={all}>
            {all ? "Fewer" : `${names.length - FEW} more`}
          </Button>
        )}
      </dd>
    </div>
  );
}

function Queue({ queue, rows, name }: { queue?: TaskQueue; rows: Row[]; name: string }) {
  const workflow = useWorkflowTitle();
  const tool = useToolTitle();
  const unserved = queue && !queue.served;
  return (
    <Section title={name} note={queue && `${plural(queue.open_runs, "open run")}`}>
      {unserved && (
        <p className={classes.unserved} role="status">
          <CircleAlert size={15} aria-hidden />
          <span>
            No worker polls this queue.{" "}
            {queue.open_runs
              ? `${plural(queue.open_runs, "run waits", "runs wait")} until one does.`
              : "Runs started on it will wait."}
          </span>
        </p>
      )}
      {rows.length > 0 && (
        <div className={classes.wide} tabIndex={0} role="region" aria-label={`Workers of ${name}`}>
          <table className={classes.table}>
            <thead>
              <tr>
                <th scope="col">Worker</th>
                <th scope="col">State</th>
                <th scope="col">Heartbeat</th>
                <th scope="col">Activities</th>
                <th scope="col">Workflow tasks</th>
                <th scope="col">Polls for</th>
                <th scope="col">Build</th>
                <th scope="col">Started</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((r) => (
                <WorkerRow key={r.key} row={r} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {queue && (
        <dl className={classes.serves}>
          <Names word="workflow" names={queue.workflows} titled={workflow} to="/workflows/$name" />
          <Names word="tool" names={queue.tools} titled={tool} to="/tools/$name" />
        </dl>
      )}
    </Section>
  );
}

/** The task queues, what each serves, and their workers. Temporal is the only source; it is polled every ten seconds. */
export default function Workers() {
  const now = useNow();
  const queues = useQuery(q.workers.queues());
  const workers = useQuery(q.workers.list());
  const registered = workers.data?.items ?? [];
  const names = [
    ...new Set([...(queues.data?.items.map((x) => x.name) ?? []), ...registered.map((w) => w.task_queue)]),
  ];
  const error = queues.error ?? workers.error;
  const old = error && queues.data && workers.data;
  const again = () => void Promise.all([queues.refetch(), workers.refetch()]);
  const tables = names.map((name) => {
    const queue = queues.data?.items.find((x) => x.name === name);
    return {
      name,
      queue,
      rows: rowsOf(
        queue,
        registered.filter((w) => w.task_queue === name),
      ),
    };
  });
  const states = tables.flatMap((t) => t.rows.map((r) => r.worker?.status ?? "polls"));
  // A poller is already working before its first heartbeat.
  const live = states.filter((s) => s === "live" || s === "polls").length;
  return (
    <>
      <Bar crumbs={[{ word: "Workers" }]}>
        {queues.data && workers.data && (
          <span className="muted">
            {plural(live, "live worker")}
            {states.length > live && `, ${count(states.length - live)} not live`}
          </span>
        )}
      </Bar>
      {old && (
        <Strip tone="wrong" icon={<CloudOff size={15} />} act={<Button onClick={again}>Try again</Button>}>
          Temporal isn’t responding. Showing data from{" "}
          <b>{moment(Math.min(queues.dataUpdatedAt, workers.dataUpdatedAt), now, true)}</b>.
        </Strip>
      )}
      <Scroll>
        {!queues.data || !workers.data ? (
          error ? (
            <Failed error={error} reset={again} />
          ) : (
            <Skeleton rows={8} />
          )
        ) : !names.length ? (
          <Blank icon={<Cpu size={20} />} title="No worker has registered yet" command="agentgrid worker">
            <p>A worker registers its workflows and tools when it starts. Its queue then appears here.</p>
          </Blank>
        ) : (
          <div className={classes.page} data-old={old || undefined}>
            {tables.map((t) => (
              <Queue key={t.name} {...t} />
            ))}
          </div>
        )}
      </Scroll>
    </>
  );
}
