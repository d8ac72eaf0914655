"""Workflows: the catalog."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from agentgrid.api.schemas.common import Action, Out, SwitchOut
from agentgrid.api.schemas.handlers import HandlersOut
from agentgrid.api.schemas.timeline import UsualStep
from agentgrid.domain.runs import RunStatus


class LastRun(Out):
    """The newest run of a workflow."""

    run_id: str
    status: RunStatus
    created_at: datetime


class WorkflowLately(Out):
    """Runs that the caller may see: open now, and ended in the last 24 hours."""

    open: int
    completed: int
    failed: int = Field(description="Failed, timed out or terminated.")
    p50_seconds: float | None = Field(description="The median duration of the completed ones.")


class ErrorGroup(Out):
    """Runs that ended badly with the same class of error."""

    status: RunStatus
    error_type: str | None
    count: int
    last_at: datetime
    last_run_id: str


class DurationBin(Out):
    """How many completed runs took so long."""

    from_seconds: float
    to_seconds: float | None = Field(description="Exclusive; null for the last bin.")
    count: int


class UsualSteps(Out):
    """What the newest completed runs of the workflow's version did."""

    runs: int = Field(description="How many runs were looked at; at most 50.")
    steps: list[UsualStep] = Field(
        description="The steps that at least a fifth of them took, in the usual order; at most 8. Approvals are one step."
    )


class WorkflowFigures(Out):
    """How the runs of a workflow ended in the last 30 days, as far as the caller may see them."""

    completed: int = Field(description="How many completed.")
    p50_seconds: float | None = Field(description="Half of the completed runs took at most that.")
    p95_seconds: float | None = Field(description="95 of 100 completed runs took at most that.")
    usual: UsualSteps = Field(description="Of the version that starts use, whenever the runs were.")
    errors: list[ErrorGroup] = Field(description="The most frequent first; at most 20.")
    durations: list[DurationBin] = Field(description="Of completed runs; every bin, also without a run.")


class WorkflowSummary(Out):
    """A workflow in a list."""

    name: str
    title: str
    description: str
    tags: list[str]
    version: str
    task_queue: str
    grid: str
    registered_at: datetime
    served: bool | None = Field(
        description="Whether a live worker polls its task queue and the newest code registered for that queue still has it; "
        "null while Temporal can't say."
    )
    switch: SwitchOut
    last_run: LastRun | None
    lately: WorkflowLately


class WorkflowVersionOut(Out):
    """One immutable version."""

    version: str
    build: str
    first_seen_at: datetime


class WorkflowVersionDetail(WorkflowVersionOut):
    """A version with its schemas, to be held against another one."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    handlers: HandlersOut | None = Field(description="Null if the version was registered without them.")
    previous: str | None = Field(description="The version that was registered before it; null for the first one.")


class WorkflowStats(Out):
    """Runs that the caller may see, by status: open now, and closed in the last 24 hours."""

    open: dict[str, int]
    closed_24h: dict[str, int]


class WorkflowDetail(WorkflowSummary):
    """A workflow with its schemas, versions and statistics."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    handlers: HandlersOut | None = Field(description="Null if the version was registered without them.")
    versions: list[WorkflowVersionOut] = Field(description="The newest 50.")
    stats: WorkflowStats
    actions: list[Action]
