import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { X } from "lucide-react";
import { useRef, useState } from "react";
import type { RunDetail, Step, TimelineStep } from "../../api/client";
import * as q from "../../api/queries";
import { atMoment } from "../../format";
import { useKeys } from "../../live/keys";
import { useNow } from "../../live/now";
import { KIND } from "../../status";
import { visible } from "../../unseen";
import { Ask } from "./Ask";
import { Facts } from "./Facts";
import { Text } from "../Text";
import classes from "./Inspector.module.css";
import { Button } from "../Button";
import { Payload } from "../Payload";
import { approversOf, ruleRef, ruleWord } from "../rules";
import { Side } from "../Side";
import { titleOf } from "../timeline/model";
import { Tries } from "./Tries";

const TABS = ["input", "output", "tries", "policy"] as const;
type Tab = (typeof TABS)[number];

/** An error with its causes, the innermost last. */
function Fault({ error }: { error: NonNullable<Step["error"]> }) {
  return (
    <div className={classes.error}>
      <p>
        <code>
          <Text>{error.type ?? ""}</Text>
        </code>{" "}
        <Text>{error.message ?? ""}</Text>
        {error.at && <span className="muted"> at {error.at}</span>}
        {error.retryable === false && <span className="muted">, not retryable</span>}
      </p>
      {error.cause && (
        <details open>
          <summary>Caused by</summary>
          <Fault error={error.cause} />
        </details>
      )}
      {error.stack && (
        <details>
          <summary>Stack</summary>
          <pre className="mono">
            <Text>{error.stack}</Text>
          </pre>
        </details>
      )}
    </div>
  );
}
function ApprovalNote({ step }: { step: TimelineStep }) {
  const { gate } = step;
  const now = useNow();
  if (!gate) return null;
  return (
    <p>
      Approval requested from {approversOf(gate.approvers)} {atMoment(gate.opened_at, now, true)}
      {gate.closed_at ? `; ${gate.status} ${atMoment(gate.closed_at, now, true)}. ` : ". "}
      <Link to="/approvals/$id" params={{ id: gate.approval_id }} className="link">
        View approval
      </Link>
    </p>
  );
}
function Policy({ step }: { step: TimelineStep }) {
  const { data: tool } = useQuery({ ...q.tools.one(step.name), enabled: step.kind === "tool" });
  if (step.kind !== "tool")
    return step.gate ? <ApprovalNote step={step} /> : <p className="muted">Rules don’t apply to this kind of step.</p>;
  if (!tool) return <ApprovalNote step={step} />;
  const { policy } = tool;
  const { builtIn } = ruleRef(policy.rule);
  return (
    <>
      <ApprovalNote step={step} />
      <p>
        Now: {ruleWord(policy)}, by {builtIn ? "the built-in rule" : <code>{policy.rule}</code>}.{" "}
        <Link to="/tools/$name" params={{ name: step.name }} className="link">
          View rule
        </Link>
      </p>
    </>
  );
}

interface Props {
  run: RunDetail;
  step: TimelineStep;
  /** The user selected it: in a narrow window it opens as a sheet. */
  picked: boolean;
  /** Another step that waits for a person. */
  next?: TimelineStep;
  onNext(): void;
  onClose(): void;
}
/** One step: its input and output, its attempts, and the rule that applies to it. */
export function Inspector({ run, step, picked, next, onNext, onClose }: Props) {
  const [tab, setTab] = useState<Tab>(step.attempt_count > 1 ? "tries" : step.error_type ? "output" : "input");
  const kind = KIND[step.kind];
  const pending = run.approvals.some((a) => a.approval_id === step.approval_id && a.status === "pending");
  const hadApproval = useRef(false); // an approval decided here stays visible
  hadApproval.current ||= pending;
  // A waiting call only has its input, which is in the letter; and only some tabs need the full step.
  const needed = tab === "input" || tab === "output" || step.kind === "agent" || step.kind === "child";
  const { data: whole } = useQuery({ ...q.runs.step(run.run_id, step), enabled: needed && !pending });
  const { data: letter } = useQuery({ ...q.approvals.one(step.approval_id ?? ""), enabled: pending });
  useKeys({ Escape: onClose });
  const error = whole?.error ?? whole?.live_error;
  return (
    <Side label={visible(`Step ${titleOf(step)}`)} picked={picked} onClose={onClose}>
      {hadApproval.current && step.approval_id && <Ask approval_id={step.approval_id} />}
      {hadApproval.current && !pending && next && (
        <Button look="ink" onClick={onNext}>
          Next: <Text>{run.approvals.find((a) => a.approval_id === next.approval_id)?.title ?? titleOf(next)}</Text>
        </Button>
      )}
      <header className={classes.head}>
        <kind.Icon size={15} strokeWidth={1.8} aria-hidden />
        <h2 className="cut">
          <Text>{titleOf(step)}</Text>
        </h2>
        <code>
          <Text>{step.name}</Text>
        </code>
        <button type="button" onClick={onClose} aria-label="Close the step">
          <X size={15} aria-hidden />
        </button>
      </header>
      <Facts step={step} whole={whole} />
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
            {{ input: "Input", output: "Output", tries: `Attempts ${step.attempt_count || ""}`, policy: "Policy" }[t]}
          </button>
        ))}
      </div>
      <div className={classes.body} role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`}>
        {tab === "tries" && <Tries run={run.run_id} step={step} />}
        {tab === "policy" && <Policy step={step} />}
        {tab === "input" && (
          <>
            <Payload
              payload={pending ? letter?.payload : whole?.input}
              visible={run.payloads_visible || (pending && letter?.payloads_visible)}
              href={q.runs.download(run.run_id, step, "input")}
            />
            {whole?.original_input && (
              <details>
                <summary>Changed by an approver. The workflow’s original input</summary>
                <Payload payload={whole.original_input} visible={run.payloads_visible} />
              </details>
            )}
          </>
        )}
        {tab === "output" && (
          <>
            {error && <Fault error={error} />}
            {step.closed_at ? (
              !step.error_type && (
                <Payload
                  payload={whole?.output}
                  visible={run.payloads_visible}
                  href={q.runs.download(run.run_id, step, "output")}
                />
              )
            ) : (
              <p className="muted">No output yet: the step hasn’t finished.</p>
            )}
          </>
        )}
      </div>
    </Side>
  );
}
