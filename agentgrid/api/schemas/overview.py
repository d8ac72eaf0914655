"""The overview: figures, hours, what happens next, and what needs attention."""

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
    """One thing that will happen by itself."""

    kind: NextKind
    at: datetime
    run_id: str
    workflow: str
    workflow_title: str | None = Field(description="Null if the workflow is not registered.")
    reference: str | None
    subject: str | None = Field(description="What the run is about. Null unless the caller may read payloads.")
    current_step: str | None
    approval_id: str | None = Field(description="The approval that expires.")
    tool: str | None = Field(description="The tool that the approval is about.")
    tool_title: str | None = Field(description="Null if the tool is not registered.")
    href: str = Field(description="The run, or the approval.")


class OverviewCondition(Out):
    """One thing that needs attention."""

    kind: ConditionKind
    name: str | None = Field(
        description="The task queue, the worker's identity, or the tool, workflow or agent that is switched off."
    )
    thing: str | None = Field(description="What is switched off: `tool`, `workflow`, `agent`.")
    count: int = Field(description="How many runs, commands or signals; else 1.")
    since: datetime | None
    reason: str | None = Field(description="Of a kill switch.")
    href: str | None = Field(description="The list that shows it.")


class WorkflowShown(Out):
    """A workflow, as the overview shows it."""

    name: str
    title: str
    description: str
    disabled: bool = Field(description="Its kill switch is on.")
    served: bool | None = Field(description="As in the list of workflows.")
    last_run: LastRun | None


class AgentShown(Out):
    """An agent, as the overview shows it, with its figures in the runs that the caller may see."""

    name: str
    title: str
    disabled: bool = Field(description="Its kill switch is on.")
    unasked: int = Field(description="Tools and agents that it may call without asking.")
    asking: int = Field(description="Those that it may call once people have approved.")
    open: int = Field(description="Calls that are running or waiting now.")
    usd: float | None = Field(description="Of 24 hours, in US dollars; null if no price is known.")


class ToolShown(Out):
    """A tool that changes something, as the overview shows it."""

    name: str
    title: str
    risk: Risk
    disabled: bool = Field(description="Its kill switch is on.")
    effect: Effect = Field(description="Of the rule that applies to a call by workflow code.")
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
    """The first tools that change something, destructive ones first, then by name."""

    total: int = Field(description="Of all tools.")
    acting: int = Field(description="Of those that change something.")
    items: list[ToolShown] = Field(description="The first 6.")


class Lists(Out):
    """The first rows of the lists behind the figures, and of the catalog: at most 6 of each, but 12 open runs."""

    started: bool = Field(description="Whether there is a run that the caller may see.")
    approvals: list[ApprovalRow] = Field(description="The most urgent of `approvals_for_me`.")
    open: list[RunRow] = Field(
        description="Open runs: those that retry, those that run, then others; the newest first of each."
    )
    unsuccessful: list[RunRow] = Field(description="Those of `unsuccessful_24h` that ended last, the last first.")
    workflows: WorkflowsShown
    agents: AgentsShown
    tools: ToolsShown


class Overview(Out):
    """Counts, each with a link to its filtered list. Every run status has one."""

    running: Count
    queued: Count
    waiting: Count
    waiting_for_approval: Count
    retrying: Count = Field(description="Waiting to try a step again.")
    waiting_otherwise: Count = Field(description="Waiting for a timer, a signal, a child or policy.")
    approvals_for_me: Count = Field(description="Approvals that this caller can decide now.")
    approvals_pending: Count = Field(description="All approvals that wait and that this caller may see.")
    paused: Count
    cancelling: Count
    stuck: Count = Field(description="Open runs that wait for a worker, or whose workflow task keeps failing.")
    unsuccessful_24h: Count = Field(description="The sum of the next three.")
    failed_24h: Count
    timed_out_24h: Count
    terminated_24h: Count
    cancelled_24h: Count
    completed_24h: Count
    hours: list[Hour] = Field(
        description="The last 24, oldest first; the last one ends at `generated_at`. Their sums are the counts of 24 h."
    )
    next: list[NextDue] = Field(
        description="What is due next, soonest first: the first 10. What is overdue is left out."
    )
    conditions: list[OverviewCondition] = Field(
        description="Empty if all is well; at most 50 of a kind. Commands are the caller's own, without the permission `audit`."
    )
    lists: Lists | None = Field(description="Null unless `lists` is true in the request.")
    generated_at: datetime
    projection: Freshness
