"""The overview: counts, hourly figures, what is due next, and what needs attention."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.approvals import ApprovalRow
from agentgrid.api.schemas.common import Out
from agentgrid.api.schemas.runs import RunRow
from agentgrid.api.schemas.service import Count, Freshness
from agentgrid.api.schemas.workflows import LastRun
from agentgrid.domain.effects import Effect
from agentgrid.domain.overview import ConditionKind, NextKind
from agentgrid.domain.policies import Risk


class Hour(Out):
    """Runs that closed within one hour."""

    start: datetime
    completed: int
    failed: int = Field(description="Failed, timed out or terminated.")


class NextDue(Out):
    """Something that will happen without further action."""

    kind: NextKind
    at: datetime
    run_id: str
    workflow: str
    workflow_title: str | None = Field(description="Null if the workflow is not registered.")
    reference: str | None
    subject: str | None = Field(description="What the run is about. Null unless the caller may read payloads.")
    current_step: str | None
    approval_id: str | None = Field(description="The approval that expires.")
    tool: str | None = Field(description="The tool that the approval is for.")
    tool_title: str | None = Field(description="Null if the tool is not registered.")
    href: str = Field(description="The path of the run or approval.")


class OverviewCondition(Out):
    """A condition that needs attention."""

    kind: ConditionKind
    name: str | None = Field(
        description="The task queue, the worker's identity, or the disabled tool, workflow or agent."
    )
    thing: str | None = Field(description="What is disabled: `tool`, `workflow` or `agent`.")
    count: int = Field(description="The number of runs, commands or signals; otherwise 1.")
    since: datetime | None
    reason: str | None = Field(description="The reason given for a kill switch.")
    href: str | None = Field(description="The path of the list that shows it.")


class WorkflowShown(Out):
    """A workflow in the overview."""

    name: str
    title: str
    description: str
    disabled: bool = Field(description="Whether its kill switch is on.")
    served: bool | None = Field(description="As `served` in the list of workflows.")
    last_run: LastRun | None


class AgentShown(Out):
    """An agent in the overview, with its figures in the runs that the caller may see."""

    name: str
    title: str
    disabled: bool = Field(description="Whether its kill switch is on.")
    unasked: int = Field(description="The number of tools and agents it may call without approval.")
    asking: int = Field(description="The number it may call only after approval.")
    open: int = Field(description="The number of calls that are running or waiting now.")
    usd: float | None = Field(description="Cost of the last 24 hours in US dollars; null if no price is known.")


class ToolShown(Out):
    """A tool with side effects in the overview."""

    name: str
    title: str
    risk: Risk
    disabled: bool = Field(description="Whether its kill switch is on.")
    effect: Effect = Field(description="The effect of the rule that applies when workflow code calls it.")
    approvers: list[str]


class WorkflowsShown(Out):
    """The first workflows by name."""

    total: int
    items: list[WorkflowShown] = Field(description="The first 6.")


class AgentsShown(Out):
    """The first agents by name."""

    total: int
    items: list[AgentShown] = Field(description="The first 6.")


class ToolsShown(Out):
    """The first tools with side effects: destructive ones first, then by name."""

    total: int = Field(description="The number of all tools.")
    acting: int = Field(description="The number of tools with side effects.")
    items: list[ToolShown] = Field(description="The first 6.")


class Lists(Out):
    """The first rows of the lists behind the counts, and of the catalog: at most 6 of each, but 12 open runs."""

    started: bool = Field(description="Whether there is any run that the caller may see.")
    approvals: list[ApprovalRow] = Field(description="The most urgent of `approvals_for_me`.")
    open: list[RunRow] = Field(
        description="Open runs: first those that are retrying, then those that are running, then the others; newest first within each group."
    )
    unsuccessful: list[RunRow] = Field(
        description="The runs of `unsuccessful_24h` that ended most recently, newest first."
    )
    workflows: WorkflowsShown
    agents: AgentsShown
    tools: ToolsShown


class Overview(Out):
    """Counts, each with a link to its filtered list. Every run status has a count."""

    running: Count
    queued: Count
    waiting: Count
    waiting_for_approval: Count
    retrying: Count = Field(description="Waiting to retry a step.")
    waiting_otherwise: Count = Field(description="Waiting for a timer, a signal, a child or the current policy.")
    approvals_for_me: Count = Field(description="Approvals that this caller can decide now.")
    approvals_pending: Count = Field(description="All pending approvals that this caller may see.")
    paused: Count
    cancelling: Count
    stuck: Count = Field(description="Open runs that are waiting for a worker or whose workflow task keeps failing.")
    unsuccessful_24h: Count = Field(description="The sum of the next three counts.")
    failed_24h: Count
    timed_out_24h: Count
    terminated_24h: Count
    cancelled_24h: Count
    completed_24h: Count
    hours: list[Hour] = Field(
        description="The last 24 hours, oldest first; the last one ends at `generated_at`. They add up to the 24-hour counts."
    )
    next: list[NextDue] = Field(description="What is due next, soonest first; the first 10. Overdue items are omitted.")
    conditions: list[OverviewCondition] = Field(
        description="Empty if nothing needs attention; at most 50 of a kind. Without the permission `audit`, only the caller's own commands are "
        "counted."
    )
    lists: Lists | None = Field(description="Null unless the request sets `lists`.")
    generated_at: datetime
    projection: Freshness
