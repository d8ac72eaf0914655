"""Steps: what a run did or waits on."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import ErrorOut, Out, StoredPayload
from agentgrid.domain.steps import StepKind, StepStatus


class UsageOut(Out):
    """Usage of model turns."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = Field(0, description="The input tokens that the provider read from its cache.")
    output_tokens: int = 0
    usd: float | None = Field(None, description="US dollars, excluding requests with an unknown price.")
    unpriced: int = Field(0, description="The number of requests with an unknown price.")


class StepUsage(UsageOut):
    """Usage of a model turn, or of an agent so far."""

    tool_calls: int | None = Field(None, description="Only for an agent that has ended.")
    model: str | None = Field(None, description="The provider's name for the model.")
    provider: str | None = None
    price: str | None = Field(None, description="The source of the price.")
    finish: str | None = Field(None, description="The provider's stop reason.")
    latency_ms: int | None = None
    attempt: int | None = None


class StepSummary(Out):
    """Something a run did or is waiting for, without payloads."""

    execution_id: str
    event_id: int
    parent: int | None = Field(
        description="The `event_id` of its parent step in the same execution: a signal to a child belongs to the child's step, and a model turn or "
        "tool call to the agent's. Null for most steps."
    )
    turn: int | None = Field(
        description="The number of the agent's model turn that this step is, or that requested it."
    )
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
        description="The agent version that the call is pinned to; set on the agent's step and on its model turns.",
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
    """Something a run did or is waiting for."""

    input: StoredPayload | None = Field(None, description="The arguments of the call.")
    original_input: StoredPayload | None = Field(
        None,
        description="The original arguments from the workflow's code, if an approver changed them; otherwise null.",
    )
    output: StoredPayload | None = None


class StepsSummary(Out):
    """Counts of a run's steps."""

    total: int
    done: int
    failed: int
    open: list[StepOut] = Field(description="Steps that are running or waiting, without payloads; at most 50.")
