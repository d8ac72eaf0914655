import { Menu } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { ExternalLink } from "lucide-react";
import type { RunDetail } from "../../api/client";
import { flowTitle, moment, plural, shortId, span, words } from "../../format";
import { StatusIcon, statusOf, type Status } from "../../status";
import classes from "./RunHead.module.css";
import { Text } from "../Text";

type Execution = RunDetail["executions"][number];
const KINDS: Record<Execution["kind"], string> = {
  first: "first",
  continued: "continued as new",
  retry: "workflow retry",
  cron: "started by its cron schedule",
  reset: "reset",
};
const STATUSES: Partial<Record<Execution["status"], Status>> = {
  running: "running",
  failed: "failed",
  timed_out: "timed_out",
  terminated: "terminated",
  canceled: "cancelled",
};
/** Why an execution exists. */
function why(e: Execution): string {
  if (e.kind !== "reset") return KINDS[e.kind];
  return `reset to event ${e.reset_event_id ?? "unknown"}${e.reset_reason ? `: ${e.reset_reason}` : ""}`;
}

interface Props {
  run: RunDetail;
  /** The execution to show on its own. */
  only?: string;
  onOnly(execution: string | undefined): void;
}
/** The chain of executions: continued as new, retried, reset. Any of them can be shown on its own, including one that a reset replaced. */
function Executions({ run, only, onOnly }: Props) {
  const all = run.executions;
  const at = all.findIndex((e) => e.execution_id === only);
  return (
    <Menu position="bottom-start" width={400}>
      <Menu.Target>
        <button type="button" className={classes.open} data-on={at >= 0 || undefined}>
          {at >= 0 ? `Execution ${at + 1} of ${all.length}` : plural(all.length, "execution")}
        </button>
      </Menu.Target>
      <Menu.Dropdown className={classes.menu}>
        <Menu.Item onClick={() => onOnly(undefined)}>All, without replaced ones</Menu.Item>
        {all.map((e, i) => (
          <Menu.Item
            key={e.execution_id}
            onClick={() => onOnly(e.execution_id)}
            leftSection={<StatusIcon status={STATUSES[e.status] ?? "completed"} />}
            aria-current={e.execution_id === only || undefined}
          >
            <span className={classes.execution}>
              <b>
                {i + 1}, <Text>{why(e)}</Text>
              </b>
              <i>
                {moment(e.started_at, undefined, true)}
                {e.closed_at && `, ${span(Date.parse(e.closed_at) - Date.parse(e.started_at))}`}
                {`, ${words(e.status).toLowerCase()}`}
                {e.reset_to && ", replaced by a reset"}
              </i>
            </span>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
function Children({ run }: { run: RunDetail }) {
  return (
    <Menu position="bottom-start" width={340}>
      <Menu.Target>
        <button type="button" className={classes.open}>
          {run.children.length === 100 ? "The newest 100 child runs" : plural(run.children.length, "child run")}
        </button>
      </Menu.Target>
      <Menu.Dropdown className={classes.menu}>
        {run.children.map((c) => (
          <Menu.Item
            key={c.run_id}
            renderRoot={(props) => <Link to="/runs/$id" params={{ id: c.run_id }} {...props} />}
            leftSection={<StatusIcon status={statusOf({ status: c.status, waiting_on: null })} />}
          >
            <span className={classes.execution}>
              <b>
                <Text>{flowTitle({ workflow: c.workflow, workflow_title: null })}</Text>
              </b>
              <i>
                {moment(c.created_at, undefined, true)}, {shortId(c.run_id)}
              </i>
            </span>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

/** The run's executions if it has several, its child runs, its parent, and the link to Temporal. */
export function Chain(p: Props) {
  const { run } = p;
  const ui = run.executions.find((e) => e.execution_id === p.only)?.temporal_ui ?? run.links.temporal_ui;
  return (
    <>
      {run.executions.length > 1 && <Executions {...p} />}
      {run.children.length > 0 && <Children run={run} />}
      {run.parent_run_id && (
        <span>
          Part of{" "}
          <Link to="/runs/$id" params={{ id: run.parent_run_id }} className="link">
            {shortId(run.parent_run_id)}
          </Link>
        </span>
      )}
      {ui && (
        <a href={ui} target="_blank" rel="noreferrer" className={classes.open}>
          View in Temporal
          <ExternalLink size={12} aria-hidden />
          <span className="visually-hidden">opens in a new tab</span>
        </a>
      )}
    </>
  );
}
