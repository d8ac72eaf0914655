"""A run's status, what it waits on, and which verbs are possible in which status."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """The status of a run from its user's point of view."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed_out"

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self in CLOSED


CLOSED = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TERMINATED, RunStatus.TIMED_OUT}
)
OPEN = frozenset(RunStatus) - CLOSED


class WaitingOn(StrEnum):
    """What a waiting run waits on."""

    APPROVAL = "approval"
    TIMER = "timer"
    SIGNAL = "signal"
    CHILD = "child"
    WORKER = "worker"
    RETRY = "retry"
    POLICY = "policy"


class RunTrigger(StrEnum):
    """What started a run. It grants no authority; the initiator does."""

    API = "api"
    """A start through the API, which the command line and the Python client use too."""
    SCHEDULE = "schedule"
    """A Temporal schedule, with a memo that AgentGrid signed for it."""
    CHILD = "child"
    """A workflow that started it as a child."""
    EXTERNAL = "external"
    """Temporal's own client, another SDK, or a schedule that AgentGrid did not sign."""
    OTHER = "other"
    """A later version of AgentGrid, in a way unknown to this one."""

    @classmethod
    def read(cls, text: str) -> RunTrigger:
        """The trigger named in a signed memo; `OTHER` for an unknown one."""
        return cls(text) if text in list(cls) else cls.OTHER


class ExecutionStatus(StrEnum):
    """Temporal's status of one execution, in Temporal's own words."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued_as_new"
    TIMED_OUT = "timed_out"


class ExecutionKind(StrEnum):
    """How an execution came about in its run's chain."""

    FIRST = "first"
    CONTINUED = "continued"
    RETRY = "retry"
    CRON = "cron"
    RESET = "reset"


class Verb(StrEnum):
    """An action on a run."""

    CANCEL = "cancel"
    TERMINATE = "terminate"
    PAUSE = "pause"
    RESUME = "resume"
    INTERRUPT = "interrupt"
    SIGNAL = "signal"
    UPDATE = "update"


RUN_VERBS: dict[Verb, frozenset[RunStatus]] = {
    Verb.CANCEL: frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED}),
    Verb.TERMINATE: OPEN,
    Verb.PAUSE: frozenset({RunStatus.RUNNING, RunStatus.WAITING}),
    Verb.RESUME: frozenset({RunStatus.PAUSED}),
    Verb.INTERRUPT: frozenset({RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED}),
    Verb.SIGNAL: OPEN - {RunStatus.QUEUED},
    Verb.UPDATE: OPEN - {RunStatus.QUEUED},
}
"""The statuses in which each verb is possible."""


def refusal(verb: Verb, status: RunStatus, *, governed: bool, taken: bool, agent_running: bool) -> str | None:
    """Why the verb can't be carried out now, or None if it can.

    taken: whether a worker has completed a workflow task of the run. Before that, it is unknown whether the run is governed. agent_running: whether an
    agent call is open in it.
    """
    if status.closed:
        return f"the run is {status} and has ended"
    if status not in RUN_VERBS[verb]:
        allowed = ", ".join(sorted(RUN_VERBS[verb]))
        return f"the run is {status}; {verb} is possible when it is {allowed}"
    if verb in (Verb.PAUSE, Verb.RESUME) and not governed:
        if not taken:
            return "no worker has completed the run's first task yet, so it can't be paused: try again when it runs"
        return "the run began without the AgentGrid plugin on its worker, so it can't be paused"
    if verb is Verb.INTERRUPT and not agent_running:
        return (
            "no agent is working in this run; interrupt stops an agent's turn, and pause holds any run. To interrupt an agent in a child run, use "
            "the child's id"
        )
    return None
