import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useEffect, useState } from "react";
import type { RunDetail, Step, TimelineStep } from "../api/client";
import * as q from "../api/queries";
import { count, moment, span, usd } from "../format";
import { useNow } from "../live/now";
import { KIND, RiskMark, StatusWord } from "../status";
import { Expiry, Ident } from "./Bits";
import { ButtonLink } from "./Button";
import classes from "./Inspector.module.css";
import { visible } from "../unseen";
import { Payload } from "./Payload";
import { Text } from "./Text";
import { statusOfStep } from "./timeline/model";
import { Tries } from "./Tries";

const TABS = ["input", "output", "tries", "policy"] as const;
type Tab = (typeof TABS)[number];

/** The run's approval in place: what is asked, and the way to the letter. */
export function Ask({ approval }: { approval: RunDetail["approvals"][number] }) {
  return (
    <section className={classes.ask}>
      <header>
        <StatusWord status="approval" />
        {approval.expires_at && <Expiry from={approval.opened_at} until={approval.expires_at} />}
      </header>
      <h3>
        <Text>{approval.title}</Text>
      </h3>
      <p className="muted">Asks {approval.approvers.join(", ")}</p>
      <ButtonLink to="/approvals/$id" params={{ id: approval.approval_id }} look="ink">
        Read the letter, and decide
      </ButtonLink>
    </section>
  );
}
function Facts({ step, run }: { step: TimelineStep; run: RunDetail }) {
  const now = useNow();
  const used = step.usage;
  return (
    <dl className={classes.facts}>
      <dt>State</dt>
      <dd>
        <StatusWord status={statusOfStep(step)} />
      </dd>
      <dt>Began</dt>
      <dd className="num">
        {moment(step.scheduled_at, now, true)}
        {step.closed_at && (
          <span className="muted">, took {span(Date.parse(step.closed_at) - Date.parse(step.scheduled_at))}</span>
        )}
      </dd>
      {step.due_at && !step.closed_at && (
        <>
          <dt>Due</dt>
          <dd className="num">{moment(step.due_at, now, true)}</dd>
        </>
      )}
      {step.risk && (
        <>
          <dt>Risk</dt>
          <dd>
            <RiskMark risk={step.risk} />
          </dd>
        </>
      )}
      {step.worker && (
        <>
          <dt>Worker</dt>
          <dd className="cut" title={step.worker}>
            {step.worker}
          </dd>
        </>
      )}
      {used && (
        <>
          <dt>Spent</dt>
          <dd className="num">
            {used.usd != null ? usd(used.usd, 4) : "unpriced"}{" "}
            <span className="muted">
              {count(used.input_tokens)} in, {count(used.output_tokens)} out{used.model && `, ${used.model}`}
            </span>
          </dd>
        </>
      )}
      <dt>Key</dt>
      <dd>
        <Ident id={`${run.run_id}/${step.execution_id}/${step.event_id}`} show={`event ${step.event_id}`} />
      </dd>
    </dl>
  );
}
function Fault({ step }: { step: Step }) {
  const error = step.error ?? step.live_error;
  if (!error) return null;
  return (
    <p className={classes.error}>
      <code>
        <Text>{error.type ?? ""}</Text>
      </code>{" "}
      <Text>{error.message ?? ""}</Text>
      {error.at && <span className="muted"> at {error.at}</span>}
    </p>
  );
}
function Policy({ step }: { step: TimelineStep }) {
  const { data: tool } = useQuery({ ...q.tools.one(step.name), enabled: step.kind === "tool" });
  if (step.kind !== "tool") return <p className="muted">No rule names this kind of step.</p>;
  if (!tool) return null;
  const { policy } = tool;
  return (
    <p>
      {policy.effect === "allow"
        ? "Allowed unasked"
        : policy.effect === "deny"
          ? "Denied"
          : `Asks ${policy.approvers.join(", ")}`}{" "}
      by <code>{policy.rule}</code>.{" "}
      <Link to="/tools/$name" params={{ name: step.name }} className="link">
        The rule
      </Link>
    </p>
  );
}

/** One step: what it took and gave, its tries, and the rule that it is under. */
export function Inspector({ run, step, onClose }: { run: RunDetail; step: TimelineStep; onClose(): void }) {
  const [tab, setTab] = useState<Tab>(step.attempt_count > 1 ? "tries" : step.error_type ? "output" : "input");
  const { data: whole } = useQuery(q.runs.step(run.run_id, step));
  const kind = KIND[step.kind];
  const asked = run.approvals.find((a) => a.approval_id === step.approval_id && a.status === "pending");
  useEffect(() => {
    const close = (e: KeyboardEvent) => e.key === "Escape" && onClose();
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, []);
  return (
    <aside className={classes.side} aria-label={visible(`Step ${step.title}`)}>
      {asked && <Ask approval={asked} />}
      <header className={classes.head}>
        <kind.Icon size={15} strokeWidth={1.8} aria-hidden />
        <h2 className="cut">
          <Text>{step.title}</Text>
        </h2>
        <code>
          <Text>{step.name}</Text>
        </code>
        <button type="button" onClick={onClose} aria-label="Close the step">
          <X size={15} aria-hidden />
        </button>
      </header>
      <Facts step={step} run={run} />
      <div className={classes.tabs} role="tablist">
        {TABS.map((t) => (
          <button
            key={t}
            type="button"
            role="tab"
            id={`tab-${t}`}
            aria-selected={tab === t}
            aria-controls="panel"
            onClick={() => setTab(t)}
          >
            {{ input: "Input", output: "Output", tries: `Tries ${step.attempt_count || ""}`, policy: "Policy" }[t]}
          </button>
        ))}
      </div>
      <div className={classes.body} role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`}>
        {tab === "tries" && <Tries run={run.run_id} step={step} />}
        {tab === "policy" && <Policy step={step} />}
        {tab === "input" && (
          <Payload
            payload={whole?.input}
            visible={run.payloads_visible}
            href={q.runs.download(run.run_id, step, "input")}
          />
        )}
        {tab === "output" && (
          <>
            {whole && <Fault step={whole} />}
            {step.closed_at ? (
              !step.error_type && (
                <Payload
                  payload={whole?.output}
                  visible={run.payloads_visible}
                  href={q.runs.download(run.run_id, step, "output")}
                />
              )
            ) : (
              <p className="muted">Nothing yet: it has not ended.</p>
            )}
          </>
        )}
      </div>
    </aside>
  );
}
