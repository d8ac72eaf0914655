import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useState, type ReactNode } from "react";
import { ApiError, type Workflow as Entry, type WorkflowDetail } from "../api/client";
import * as q from "../api/queries";
import { turn, type Switch } from "../api/queries/workflows";
import { Ago } from "../components/Bits";
import { Button } from "../components/Button";
import { Catalog, Lead } from "../components/Catalog";
import { Confirm } from "../components/Confirm";
import { Bar, Section } from "../components/Page";
import { Blank, Failed, Hidden, Skeleton, useAway } from "../components/States";
import { Handlers, NewestRuns, Versions } from "../components/start/Facts";
import { Figures } from "../components/start/Figures";
import { Off } from "../components/start/Off";
import { closedRunsText, openRunsText } from "../components/start/words";
import { ago, count, plural, shortId } from "../format";
import { useNow } from "../live/now";
import type { Search } from "../router";
import classes from "./Workflow.module.css";
import { Text } from "../components/Text";

// The form library is the largest dependency, so no other page loads it.
const StartRun = lazy(() => import("../components/start/StartRun"));

const entryOf = (w: Entry, now: number) => ({
  key: w.name,
  to: `/workflows/${encodeURIComponent(w.name)}`,
  title: w.title,
  end: w.switch.disabled
    ? "off"
    : w.served === false
      ? "not served"
      : w.lately.open
        ? `${count(w.lately.open)} open`
        : "",
  note: w.last_run ? `last ${ago(w.last_run.created_at, now)}` : "never run",
});

/** The list of workflows beside the selected one: what it is, its start form, and how its runs ended. */
export default function Workflow() {
  const { name } = useParams({ strict: false }) as { name?: string };
  const now = useNow();
  const { data: all, error, refetch } = useQuery(q.workflows.list());
  const sorted = useMemo(() => all?.items.toSorted((a, b) => a.title.localeCompare(b.title)), [all]);
  const shown = name ?? sorted?.[0]?.name;
  if (error && !all)
    return (
      <>
        <Bar crumbs={[{ word: "Workflows" }]} />
        <Failed error={error} reset={() => void refetch()} />
      </>
    );
  if (!shown && !all)
    return (
      <>
        <Bar crumbs={[{ word: "Workflows" }]} />
        <Catalog word="Workflows" at="" picked={false} entries={undefined}>
          <Skeleton rows={8} />
        </Catalog>
      </>
    );
  if (!shown)
    return (
      <>
        <Bar crumbs={[{ word: "Workflows" }]} />
        <Blank title="No workflow is registered yet" command="agentgrid worker">
          <p>Decorate a class with @ag.workflow and start a worker, which registers it.</p>
        </Blank>
      </>
    );
  return <One key={shown} name={shown} chosen={!!name} entries={sorted?.map((w) => entryOf(w, now))} />;
}

function One({ name, chosen, entries }: { name: string; chosen: boolean; entries?: ReturnType<typeof entryOf>[] }) {
  const { data: w, error, refetch } = useQuery(q.workflows.one(name));
  const title = w?.title ?? entries?.find((e) => e.key === name)?.title ?? name;
  return (
    <>
      <Bar crumbs={chosen ? [{ word: "Workflows", to: "/workflows" }, { word: title }] : [{ word: "Workflows" }]}>
        {/* When only the list is shown, no workflow is selected. */}
        {w && chosen && <KillSwitch workflow={w} />}
      </Bar>
      <Catalog word="Workflows" at={name} picked={!!chosen} entries={entries}>
        {w ? (
          <Open workflow={w} />
        ) : error ? (
          <Failed error={error} reset={() => void refetch()} />
        ) : (
          <Skeleton rows={8} />
        )}
      </Catalog>
    </>
  );
}

function Open({ workflow: w }: { workflow: WorkflowDetail }) {
  const { data: workers } = useQuery({ ...q.workflows.serving(w.task_queue), enabled: !!w.served, retry: false });
  const served =
    w.served === false
      ? "No worker serves it"
      : w.served === null
        ? "Unknown whether a worker serves it"
        : workers
          ? `Served by ${plural(workers, "worker")}`
          : "Served";
  const version = w.versions.find((v) => v.version === w.version);
  return (
    <>
      {w.switch.disabled && <Off workflow={w} />}
      <Lead
        title={w.title}
        text={
          <>
            <Text>{w.description}</Text> <b>{openRunsText(w)}</b>
          </>
        }
        facts={[
          <>{served}</>,
          <>queue {w.task_queue}</>,
          <>
            version <code>{w.version.slice(0, 8)}</code>
            {version && (
              <>
                , <Ago at={version.first_seen_at} />
              </>
            )}
          </>,
          <code key="name">{w.name}</code>,
          ...(w.tags.length ? [<>tagged {w.tags.join(", ")}</>] : []),
        ]}
      />
      <Section title="Start a run">
        <Start workflow={w} workers={workers} />
      </Section>
      <Figures workflow={w.name} />
      <NewestRuns workflow={w} note={closedRunsText(w)} />
      {w.handlers && <Handlers handlers={w.handlers} />}
      <Versions workflow={w} />
    </>
  );
}
/** The start form, or why a run can't be started. */
function Start({ workflow: w, workers }: { workflow: WorkflowDetail; workers?: number }) {
  const { from } = useSearch({ strict: false }) as Search;
  const { data: me } = useQuery(q.me.me());
  const { data: run, error } = useQuery({ ...q.runs.one(from ?? ""), enabled: !!from });
  const action = w.actions.find((a) => a.verb === "start");
  if (action && !action.allowed)
    return <p className={classes.refused}>You can’t start it{action.reason ? `: ${action.reason}` : ""}.</p>;
  if (!me || (from && !run && !error)) return <Skeleton rows={4} />;
  const stored = run?.workflow === w.name ? earlierInput(run.input) : undefined;
  return (
    <>
      {from && (
        <From run_id={from}>{why(run, w, error) ?? (stored ? undefined : "Its input is too large to copy.")}</From>
      )}
      <Suspense fallback={<Skeleton rows={4} />}>
        <StartRun key={from} workflow={w} workers={workers} me={me.name} earlier={stored} tags={stored && run?.tags} />
      </Suspense>
    </>
  );
}
/** A run's input, if all of it is stored. */
function earlierInput(input: unknown): { value: unknown } | undefined {
  const stored = input as { value?: unknown; values?: unknown[] } | null;
  if (stored && "value" in stored) return { value: stored.value };
  return stored && "values" in stored ? { value: stored.values?.length ? stored.values : null } : undefined;
}
/** Why a run's input can't be copied. */
function why(
  run: { workflow: string; payloads_visible: boolean } | undefined,
  w: WorkflowDetail,
  error: Error | null,
): ReactNode {
  if (error) return error instanceof ApiError && error.status === 404 ? "That run no longer exists." : error.message;
  if (run?.workflow !== w.name) return "It belongs to another workflow.";
  return run.payloads_visible ? undefined : <Hidden />;
}
const From = ({ run_id, children }: { run_id: string; children?: ReactNode }) => (
  <p className={classes.from}>
    {children ? "Can’t copy run " : "Copied from run "}
    <a className="link" href={`/runs/${run_id}`}>
      <code>{shortId(run_id)}</code>
    </a>
    {children ? <>: {children}</> : ": its input and tags are filled in. Change what you need."}
  </p>
);

/** Turns the kill switch on or off, with a reason. */
function KillSwitch({ workflow: w }: { workflow: WorkflowDetail }) {
  const [dialog, setDialog] = useState<Switch>();
  const queries = useQueryClient();
  const away = useAway();
  const to: Switch = w.switch.disabled ? "enable" : "disable";
  const action = w.actions.find((a) => a.verb === to);
  const word = to === "disable" ? "Switch off" : "Switch on";
  return (
    <>
      <Button
        look="quiet"
        disabled={away || !action?.allowed}
        title={action?.reason ?? undefined}
        onClick={() => setDialog(to)}
      >
        {word}
      </Button>
      {dialog && (
        <Confirm
          title={`${word} ${w.title}?`}
          verb={word}
          danger={dialog === "disable"}
          needsReason={dialog === "disable"}
          text={
            dialog === "disable"
              ? "It can no longer be started, and within seconds every tool call of its runs fails, including runs in progress."
              : "It can be started again. Runs that failed in the meantime stay failed."
          }
          onClose={() => setDialog(undefined)}
          onConfirm={async (reason, key) => {
            queries.setQueryData(q.workflows.one(w.name).queryKey, await turn(w.name, dialog, reason, key));
            void queries.invalidateQueries({ queryKey: ["workflows"] });
          }}
        />
      )}
    </>
  );
}
