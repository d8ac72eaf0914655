"""Steps: what a run did or waits on."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import ErrorOut, Out, StoredPayload
from agentgrid.domain.steps import StepKind, StepStatus


class UsageOut(Out):
    """What model turns used."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = Field(0, description="The part of the input tokens that the provider had in its cache.")
    output_tokens: int = 0
    usd: float | None = Field(None, description="US dollars; without the requests whose price is unknown.")
    unpriced: int = Field(0, description="Requests whose price is unknown, which is not 0.")


class StepUsage(UsageOut):
    """What a model turn, or an agent so far, used."""

    tool_calls: int | None = Field(None, description="Of an agent that has ended.")
    model: str | None = Field(None, description="As the provider names it.")
    provider: str | None = None
    price: str | None = Field(None, description="The source of the price.")
    finish: str | None = Field(None, description="Why the model stopped, in the provider's word.")
    latency_ms: int | None = None
    attempt: int | None = None


class StepSummary(Out):
    """One thing that a run did or waits on, without payloads."""

    execution_id: str
    event_id: int
    parent: int | None = Field(
        description="The `event_id` of the step that it belongs to, in the same execution: a signal to a child belongs to the child's step, "
        "or a model turn and a tool's call to the agent's. Null for most steps."
    )
    turn: int | None = Field(description="The agent's model turn that it is, or that asked for it.")
    kind: StepKind
    name: str
    title: str | None
    status: StepStatus
    inherited: bool = Field(description="Copied by a reset from the previous execution.")
    governed: bool
    local: bool
    attempts: int
    activity_id: str | None
    task_queue: str | None
    worker: str | None
    tool_version: str | None
    version: str | None = Field(
        None,
        description="The version of the agent that its call is pinned to: on the agent's step and on its model turns.",
    )
    approval_id: str | None
    child_workflow_id: str | None
    child_execution_id: str | None
    scheduled_at: datetime
    started_at: datetime | None
    closed_at: datetime | None
    due_at: datetime | None
    live_state: str | None
    live_attempt: int | None
    live_next_retry_at: datetime | None
    live_heartbeat_at: datetime | None
    live_worker: str | None
    error: ErrorOut | None
    live_error: ErrorOut | None
    usage: StepUsage | None


class StepOut(StepSummary):
    """One thing that a run did or waits on."""

    input: StoredPayload | None = Field(None, description="What it was called with.")
    original_input: StoredPayload | None = Field(
        None,
        description="What the workflow's code called it with, if an approver changed the arguments; otherwise null.",
    )
    output: StoredPayload | None = None


class StepsSummary(Out):
    """The steps of a run, counted."""

    total: int
    done: int
    failed: int
    open: list[StepOut] = Field(description="Steps that are running or waiting, without payloads; at most 50.")
