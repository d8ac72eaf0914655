import {
  Ban,
  Bot,
  Check,
  CircleCheck,
  CircleDashed,
  CircleDot,
  Clock,
  CornerDownRight,
  HeartPulse,
  Hourglass,
  LoaderCircle,
  Lock,
  LogOut,
  Moon,
  Pause,
  RotateCw,
  Send,
  ShieldX,
  Sparkles,
  Unplug,
  UserRound,
  Workflow,
  Wrench,
  X,
  Zap,
} from "lucide-react";
import type { Approval, Command, Risk, Run } from "./api/client";
import classes from "./status.module.css";

/** How each state looks: its word, icon and tone. `done` and `idle` are neutral on purpose. */
export type Tone = "person" | "wrong" | "retry" | "live" | "done" | "idle";
interface Look {
  word: string;
  tone: Tone;
  Icon: typeof Check;
}

export const STATUS = {
  approval: { word: "Needs approval", tone: "person", Icon: Hourglass },
  failed: { word: "Failed", tone: "wrong", Icon: X },
  timed_out: { word: "Timed out", tone: "wrong", Icon: X },
  terminated: { word: "Terminated", tone: "wrong", Icon: X },
  stuck: { word: "Stuck", tone: "wrong", Icon: CircleDot },
  retrying: { word: "Retrying", tone: "retry", Icon: RotateCw },
  running: { word: "Running", tone: "live", Icon: LoaderCircle },
  completed: { word: "Completed", tone: "done", Icon: Check },
  queued: { word: "Queued", tone: "idle", Icon: CircleDashed },
  sleeping: { word: "Sleeping", tone: "idle", Icon: Moon },
  waiting: { word: "Waiting", tone: "idle", Icon: Clock },
  paused: { word: "Paused", tone: "idle", Icon: Pause },
  cancelling: { word: "Cancelling", tone: "idle", Icon: Ban },
  cancelled: { word: "Cancelled", tone: "idle", Icon: Ban },
} satisfies Record<string, Look>;
export type Status = keyof typeof STATUS;

/** A run's state in one word: if it waits, what it waits for. */
export function statusOf(run: Pick<Run, "status" | "waiting_on">): Status {
  if (run.status !== "waiting") return run.status as Status;
  if (run.waiting_on === "approval") return "approval";
  if (run.waiting_on === "retry") return "retrying";
  if (run.waiting_on === "timer") return "sleeping";
  return run.waiting_on === "worker" ? "stuck" : "waiting";
}

/** Problems and pending work first, finished runs last. */
export const ORDER: Status[] = [
  "approval",
  "failed",
  "timed_out",
  "terminated",
  "stuck",
  "retrying",
  "running",
  "sleeping",
  "waiting",
  "queued",
  "paused",
  "cancelling",
  "cancelled",
  "completed",
];
export function StatusIcon({ status, size = 14 }: { status: Status; size?: number }) {
  const { word, tone, Icon } = STATUS[status];
  return (
    <span className={classes.icon} data-tone={tone} title={word}>
      <Icon size={size} strokeWidth={2.1} aria-hidden className={status === "running" ? classes.spin : undefined} />
      <span className="visually-hidden">{word}</span>
    </span>
  );
}

const Word = ({ of: { word, tone, Icon }, spins }: { of: Look; spins?: boolean }) => (
  <span className={classes.word} data-tone={tone}>
    <Icon size={14} strokeWidth={2.1} aria-hidden className={spins ? classes.spin : undefined} />
    {word}
  </span>
);
/** The outcome of an approval. */
const VERDICT = {
  pending: STATUS.approval,
  approved: { word: "Approved", tone: "done", Icon: Check },
  rejected: { word: "Rejected", tone: "idle", Icon: X },
  expired: { word: "Expired", tone: "idle", Icon: Clock },
  cancelled: STATUS.cancelled,
} satisfies Record<Approval["status"], Look>;
export const VerdictWord = ({ status }: { status: Approval["status"] }) => <Word of={VERDICT[status]} />;
export const StatusWord = ({ status }: { status: Status }) => <Word of={STATUS[status]} spins={status === "running"} />;

export const KIND = {
  tool: { word: "Tool", Icon: Wrench },
  model: { word: "Model turn", Icon: Sparkles },
  agent: { word: "Agent", Icon: Bot },
  approval: { word: "Approval", Icon: UserRound },
  timer: { word: "Timer", Icon: Clock },
  child: { word: "Child run", Icon: Workflow },
  signal: { word: "Signal", Icon: Zap },
  activity: { word: "Activity", Icon: Wrench },
  update: { word: "Update", Icon: Zap },
  nexus: { word: "Nexus call", Icon: Workflow },
} as const;
export type Kind = keyof typeof KIND;

/** The status of a command. Refused and failed went wrong, a proposal needs a person; the rest are neutral. */
export const COMMAND: Record<Command["status"], Look> = {
  applied: { word: "applied", tone: "done", Icon: Check },
  superseded: { word: "superseded", tone: "done", Icon: CornerDownRight },
  pending: { word: "pending", tone: "idle", Icon: CircleDashed },
  delivered: { word: "delivered", tone: "idle", Icon: Send },
  proposed: { word: "proposed", tone: "person", Icon: UserRound },
  refused: { word: "refused", tone: "wrong", Icon: ShieldX },
  failed: { word: "failed", tone: "wrong", Icon: X },
};

/** The state of an MCP server, as reported by a worker. */
export const SERVER = {
  ready: { word: "As reviewed", tone: "done", Icon: Check },
  held: { word: "Held", tone: "person", Icon: Lock },
  unreachable: { word: "Unreachable", tone: "wrong", Icon: Unplug },
} satisfies Record<string, Look>;
export const ServerState = ({ state }: { state: keyof typeof SERVER }) => <Word of={SERVER[state]} />;

/** The state of a worker, judging by its heartbeats; `polls` is a poller that hasn't sent one yet. */
const WORKER = {
  live: { word: "Live", tone: "done", Icon: CircleCheck },
  stale: { word: "Stale: no heartbeat", tone: "wrong", Icon: HeartPulse },
  shutting_down: { word: "Shutting down", tone: "idle", Icon: LogOut },
  polls: { word: "Polling, no heartbeat yet", tone: "done", Icon: CircleCheck },
} satisfies Record<string, Look>;
export const WorkerState = ({ state }: { state: keyof typeof WORKER }) => <Word of={WORKER[state]} />;

export const RISK: Record<Risk, { word: string; text: string }> = {
  read: { word: "read", text: "Reads, changes nothing" },
  write: { word: "write", text: "Changes something" },
  destructive: { word: "destructive", text: "Can't be undone" },
};
export const RiskMark = ({ risk }: { risk: Risk | "agent" }) => (
  <span className={classes.risk} data-risk={risk} title={risk === "agent" ? "Another agent" : RISK[risk].text}>
    {risk}
  </span>
);
