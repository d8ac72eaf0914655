import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Clock, Hourglass, Play, Power, RotateCw, TriangleAlert } from "lucide-react";
import type { Approval, Overview as Figures, Run, Tool } from "../api/client";
import * as q from "../api/queries";
import { Ago, Bars, Expiry, Progress } from "../components/Bits";
import { ButtonLink } from "../components/Button";
import { useToolTitle, useWorkflowTitle } from "../components/catalog";
import { Bar, Scroll, Section } from "../components/Page";
import { Blank, Failed, Skeleton, Strip, useAway } from "../components/States";
import { clock, count, day, left, plural, usd, words } from "../format";
import { useNow } from "../live/now";
import type { Search } from "../router";
import { RiskMark, StatusIcon, statusOf } from "../status";
import classes from "./Overview.module.css";

const ROWS = 6;
const DAY = 86_400_000;
interface Figure {
  word: string;
  n: number;
  to: string;
  search?: Search;
  tone?: "person" | "wrong" | "retry";
  hours?: number[];
}
/** Trouble and duty first; a zero is muted. */
const figures = (o: Figures): Figure[] => [
  { word: "Needs approval", n: o.waiting_for_approval.count, tone: "person", to: "/approvals" },
  {
    word: "Failed, 24 h",
    n: o.unsuccessful_24h.count,
    tone: "wrong",
    to: "/runs",
    search: { status: "failed,timed_out,terminated" },
    hours: o.hours.map((h) => h.failed),
  },

  { word: "Stuck", n: o.stuck.count, to: "/runs", search: { status: "stuck" } },
  { word: "Retrying", n: o.retrying.count, tone: "retry", to: "/runs", search: { status: "retrying" } },
  { word: "Running", n: o.running.count, to: "/runs", search: { status: "running" } },
  {
    word: "Waiting",
    n: o.waiting.count - o.waiting_for_approval.count - o.retrying.count,
    to: "/runs",
    search: { status: "sleeping,waiting" },
  },
  { word: "Queued", n: o.queued.count, to: "/runs", search: { status: "queued" } },
  { word: "Paused", n: o.paused.count, to: "/runs", search: { status: "paused" } },
  {
    word: "Completed, 24 h",
    n: o.completed_24h.count,
    to: "/runs",
    search: { status: "completed" },
    hours: o.hours.map((h) => h.completed),
  },
];

function FigureRow({ overview }: { overview: Figures }) {
  return (
    <nav className={classes.figures} aria-label="Runs by state">
      {figures(overview).map((f) => (
        <Link
          key={f.word}
          to={f.to}
          search={f.search ?? {}}
          className={classes.figure}
          data-tone={f.tone}
          data-zero={!f.n || undefined}
          data-wide={(f.hours && !f.tone) || undefined}
        >
          <span>{f.word}</span>
          <b>{count(f.n)}</b>
          {f.hours && (
            <Bars values={f.hours} tone={f.tone === "wrong" ? "wrong" : undefined} label={`${f.word}, by the hour`} />
          )}
        </Link>
      ))}
    </nav>
  );
}

function WaitsForYou({ approvals, total }: { approvals: Approval[]; total: number }) {
  const title = useWorkflowTitle();
  const urgent = [...approvals].sort((a, b) => Date.parse(a.expires_at ?? "9999") - Date.parse(b.expires_at ?? "9999"));
  return (
    <section className={classes.person}>
      <header>
        <StatusIcon status="approval" />
        <h2>Waits for you</h2>
        <em>{total}</em>
        <Link to="/approvals">Open the inbox</Link>
      </header>
      <ul>
        {urgent.slice(0, ROWS).map((a) => (
          <li key={a.approval_id}>
            <Link to="/approvals/$id" params={{ id: a.approval_id }} className={classes.row}>
              <span className="cut">
                <b>{a.title}</b>
              </span>
              <span className={`cut muted ${classes.by}`}>
                {[title(a.workflow), a.reference].filter(Boolean).join(" · ")}
              </span>
              <span className={classes.risk}>{a.risk === "destructive" && <RiskMark risk={a.risk} />}</span>
              {a.expires_at && <Expiry word="bare" from={a.opened_at} until={a.expires_at} />}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

const NEXT = {
  approval_expires: { Icon: Hourglass, word: "expires" },
  retry: { Icon: RotateCw, word: "tries again" },
  timer: { Icon: Clock, word: "goes on" },
  start: { Icon: Play, word: "starts" },
} as const;
function HappensNext({ next }: { next: Figures["next"] }) {
  const title = useWorkflowTitle();
  const tool = useToolTitle();
  const now = useNow();
  const today = (t: string) => Date.parse(t) - now < DAY;
  return (
    <Section title="Happens next" className={classes.next}>
      {next.length ? (
        <ol>
          {next.slice(0, ROWS).map((n) => {
            const { Icon, word } = NEXT[n.kind];
            return (
              <li key={`${n.kind}${n.run_id}${n.approval_id}`}>
                <Link
                  to={n.approval_id ? "/approvals/$id" : "/runs/$id"}
                  params={{ id: n.approval_id ?? n.run_id }}
                  className={classes.event}
                >
                  <time dateTime={n.at}>{today(n.at) ? clock(n.at) : day(n.at)}</time>
                  <Icon size={14} strokeWidth={1.9} aria-hidden />
                  <div className="cut">
                    <b>
                      {n.current_step ?? (n.tool ? tool(n.tool) : title(n.workflow))} {word}
                    </b>
                    <span className="cut">{[title(n.workflow), n.reference].filter(Boolean).join(" · ")}</span>
                  </div>
                  <span className="num muted">in {left(n.at, now)}</span>
                </Link>
              </li>
            );
          })}
        </ol>
      ) : (
        <p className={classes.none}>Nothing is due.</p>
      )}
    </Section>
  );
}

function RunsNow({ runs }: { runs: Run[] }) {
  const title = useWorkflowTitle();
  const now = useNow();
  return (
    <Section title="Runs now" note={runs.length || undefined} more="All runs" to="/runs">
      {runs.length ? (
        <ul>
          {runs.slice(0, ROWS).map((r) => (
            <li key={r.run_id}>
              <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.run}>
                <StatusIcon status={statusOf(r)} />
                <span className="cut">
                  <b>{title(r.workflow)}</b> <span className="muted">{r.reference}</span>
                </span>
                <span className={`cut muted ${classes.step}`}>
                  {r.current_step ?? "starts when a worker is free"}
                  {r.waiting_on === "retry" && r.next_at && `, again in ${left(r.next_at, now)}`}
                </span>
                <span className="num muted">
                  {r.step_count > 0 && `${count(r.steps_done)} of ${count(r.step_count)}`}
                </span>
                <Progress done={r.steps_done} failed={r.steps_failed} total={r.step_count} />
              </Link>
            </li>
          ))}
        </ul>
      ) : (
        <p className={classes.none}>Nothing runs at the moment.</p>
      )}
    </Section>
  );
}

function FailedLately({ runs, total }: { runs: Run[]; total: number }) {
  const title = useWorkflowTitle();
  return (
    <Section
      title="Failed lately"
      note={`${plural(total, "run")} in 24 h`}
      more="All failures"
      to="/runs"
      search={{ status: "failed,timed_out,terminated" }}
    >
      {runs.length ? (
        <ul>
          {runs.slice(0, ROWS).map((r) => (
            <li key={r.run_id}>
              <Link to="/runs/$id" params={{ id: r.run_id }} className={classes.fail}>
                <StatusIcon status={statusOf(r)} />
                <div className="cut">
                  <b>{title(r.workflow)}</b> <span className="muted">{r.reference}</span>
                  <span className="cut">{r.status_reason}</span>
                </div>
                <span className="num muted">
                  <Ago at={r.closed_at ?? r.created_at} />
                </span>
              </Link>
            </li>
          ))}
        </ul>
      ) : (
        <p className={classes.none}>Nothing has failed.</p>
      )}
    </Section>
  );
}

const asks = (t: Tool) =>
  t.switch.disabled
    ? "switched off"
    : t.policy.effect === "require_approval"
      ? `asks ${t.policy.approvers[0] ?? "approvers"}`
      : t.policy.effect === "deny"
        ? "never"
        : "unasked";
function Catalogs() {
  const { data: workflows } = useQuery(q.workflows.list());
  const { data: agents } = useQuery(q.agents.list());
  const { data: tools } = useQuery(q.tools.list());
  const acting = (tools?.items ?? [])
    .filter((t) => t.risk !== "read")
    .sort((a, b) => Number(b.risk === "destructive") - Number(a.risk === "destructive"));
  return (
    <div className={classes.three}>
      <Section title="Workflows" note={workflows?.items.length} more="All" to="/workflows">
        <ul>
          {workflows?.items.slice(0, ROWS).map((w) => (
            <li key={w.name}>
              <Link to="/workflows/$name" params={{ name: w.name }} className={classes.line}>
                <span className="cut">{w.title}</span>
                <span className="muted">
                  {w.switch.disabled ? "switched off" : w.served === false ? "no worker" : ""}
                </span>
                <span className="num muted">{w.last_run ? <Ago at={w.last_run.created_at} /> : "never ran"}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="Agents" note={agents?.items.length} more="All" to="/agents">
        <ul>
          {agents?.items.slice(0, ROWS).map((a) => (
            <li key={a.name}>
              <Link to="/agents/$name" params={{ name: a.name }} className={classes.line}>
                <span className="cut">{a.title}</span>
                <span className="muted">
                  {a.switch.disabled ? "switched off" : a.stats.open ? `${a.stats.open} open` : ""}
                </span>
                <span className="num muted">{a.stats.usage.usd != null ? usd(a.stats.usage.usd, 2) : "unpriced"}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Section>
      <Section
        title="Tools that act"
        note={tools && `${acting.length} of ${tools.items.length}`}
        more="All"
        to="/tools"
      >
        <ul>
          {acting.slice(0, ROWS).map((t) => (
            <li key={t.name}>
              <Link to="/tools/$name" params={{ name: t.name }} className={classes.line}>
                <span className="cut">{t.title}</span>
                <span className="cut muted">{asks(t)}</span>
                <RiskMark risk={t.risk} />
              </Link>
            </li>
          ))}
        </ul>
      </Section>
    </div>
  );
}

function Empty() {
  const { data } = useQuery(q.workflows.list());
  const flows = data?.items ?? [];
  return (
    <Blank title="No run has started here yet" command={`agentgrid run start ${flows[0]?.name ?? "WORKFLOW"} --watch`}>
      <p>
        {plural(flows.length, "workflow is", "workflows are")} registered. What a run does, waits for and costs will be
        here.
      </p>
      <ul className={classes.first}>
        {flows.slice(0, 4).map((w) => (
          <li key={w.name}>
            <Link to="/workflows/$name" params={{ name: w.name }}>
              <b>{w.title}</b>
              <span className="cut">{w.description}</span>
              <em>Start</em>
            </Link>
          </li>
        ))}
      </ul>
    </Blank>
  );
}

type Condition = Figures["conditions"][number];
/** What is not as it should be, as a sentence. The mirror’s delay is above every page already. */
function sentenceOf(c: Condition): string | undefined {
  const runs = plural(c.count, "run waits", "runs wait");
  switch (c.kind) {
    case "temporal_away":
      return "Temporal does not answer: starts are kept and go out when it is back; decisions and stops have to wait";
    case "queue_unserved":
      return `Queue ${c.name} has no worker, ${runs}`;
    case "queue_waiting":
      return `${runs} on queue ${c.name} for a worker that has their code`;
    case "worker_stale":
      return `The worker ${c.name} has sent no heartbeat`;
    case "switched_off":
      return `${words(c.name ?? "")} is switched off`;
    case "commands_pending":
      return `${plural(c.count, "command has", "commands have")} not been delivered yet`;
    case "projection_behind":
      return undefined;
    default:
      return `${plural(c.count, "signal was", "signals were")} refused`;
  }
}
function ConditionStrips({ conditions }: { conditions: Condition[] }) {
  return conditions.map((c) => {
    const text = sentenceOf(c);
    if (!text) return null;
    const off = c.kind === "switched_off";
    return (
      <Strip
        key={`${c.kind}${c.name}`}
        tone={off ? "plain" : "person"}
        icon={off ? <Power size={14} /> : <TriangleAlert size={14} />}
      >
        {text}{" "}
        {c.since && (
          <span className="muted">
            <Ago at={c.since} />
            {c.reason && `: ${c.reason}`}
          </span>
        )}
      </Strip>
    );
  });
}

/** What runs, what waits for a person, what failed, what comes next, and what there is. */
export default function Overview() {
  const away = useAway();
  const { data: overview, error, refetch } = useQuery(q.me.overview());
  const { data: mine } = useQuery(q.approvals.list({ status: ["pending"], decidable_by: "me", limit: 50 }));
  const { data: open } = useQuery(q.runs.list({ status: ["running", "queued", "waiting"] }, 100));
  const { data: failed } = useQuery(q.runs.list({ status: ["failed", "timed_out", "terminated"] }, ROWS));
  const runs = open?.items ?? [];
  const never = overview && open && failed && !runs.length && !failed.items.length && !overview.completed_24h.count;
  const body = !overview ? (
    error ? (
      <Failed error={error} reset={() => void refetch()} />
    ) : (
      <Skeleton rows={10} />
    )
  ) : never ? (
    <Empty />
  ) : (
    <div className={classes.page} data-old={overview.projection.stale || away || undefined}>
      <FigureRow overview={overview} />
      <div className={classes.two}>
        {mine?.items.length ? (
          <WaitsForYou approvals={mine.items} total={overview.approvals_for_me.count} />
        ) : (
          <RunsNow runs={runs} />
        )}
        <HappensNext next={overview.next} />
        {mine?.items.length ? (
          <RunsNow runs={runs} />
        ) : (
          <Section title="Waits for you" more="All approvals" to="/approvals">
            <p className={classes.none}>Nothing waits for you.</p>
          </Section>
        )}
        <FailedLately runs={failed?.items ?? []} total={overview.unsuccessful_24h.count} />
      </div>
      <Catalogs />
    </div>
  );
  return (
    <>
      <Bar crumbs={[{ word: "Overview" }]}>
        <ButtonLink to="/workflows" disabled={away}>
          Start a run
        </ButtonLink>
      </Bar>
      {overview && <ConditionStrips conditions={overview.conditions} />}
      <Scroll>{body}</Scroll>
    </>
  );
}
