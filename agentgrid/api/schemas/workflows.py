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
    p50_seconds: float | None = Field(description="The median duration of the completed runs.")


class ErrorGroup(Out):
    """Unsuccessful runs with the same error class."""

    status: RunStatus
    error_type: str | None
    count: int
    last_at: datetime
    last_run_id: str


class DurationBin(Out):
    """The number of completed runs within a range of durations."""

    from_seconds: float
    to_seconds: float | None = Field(description="Exclusive; null for the last bin.")
    count: int


class UsualSteps(Out):
    """The usual steps of the newest completed runs of a workflow version."""

    runs: int = Field(description="The number of runs considered; at most 50.")
    steps: list[UsualStep] = Field(
        description="The steps taken by at least a fifth of them, in the usual order; at most 8. Approvals count as one step."
    )


class WorkflowFigures(Out):
    """How a workflow's runs ended in the last 30 days, for runs that the caller may see."""

    completed: int = Field(description="The number of completed runs.")
    p50_seconds: float | None = Field(description="Median duration of completed runs.")
    p95_seconds: float | None = Field(description="95th percentile of the duration of completed runs.")
    usual: UsualSteps = Field(
        description="The usual steps of the version that new runs use, also from runs older than 30 days."
    )
    errors: list[ErrorGroup] = Field(description="Most frequent first; at most 20.")
    durations: list[DurationBin] = Field(description="Of completed runs; all bins, including empty ones.")


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
        description="Whether a live worker polls its task queue and the newest code registered for that queue still includes it; null while "
        "Temporal is unreachable."
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
    """A version with its schemas, for comparison with another one."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    handlers: HandlersOut | None = Field(description="Null if the version was registered without handlers.")
    previous: str | None = Field(description="The version registered before it; null for the first one.")


class WorkflowStats(Out):
    """Runs that the caller may see, by status: open now, and closed in the last 24 hours."""

    open: dict[str, int]
    closed_24h: dict[str, int]


class WorkflowDetail(WorkflowSummary):
    """A workflow with its schemas, versions and statistics."""

    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    handlers: HandlersOut | None = Field(description="Null if the version was registered without handlers.")
    versions: list[WorkflowVersionOut] = Field(description="The newest 50.")
    stats: WorkflowStats
    actions: list[Action]
