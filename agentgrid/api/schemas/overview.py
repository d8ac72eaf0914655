"""The overview: figures, hours, what happens next, and what is not as it should be."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.api.schemas.service import Count, Freshness
from agentgrid.domain.overview import ConditionKind, NextKind


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
    reference: str | None
    current_step: str | None
    approval_id: str | None = Field(description="The approval that expires.")
    tool: str | None = Field(description="The tool that the approval is about.")
    href: str = Field(description="The run, or the approval.")


class Condition(Out):
    """One thing that is not as it should be."""

    kind: ConditionKind
    name: str | None = Field(
        description="The task queue, the worker's identity, or the tool, workflow or agent that is switched off."
    )
    thing: str | None = Field(description="What is switched off: `tool`, `workflow`, `agent`.")
    count: int = Field(description="How many runs, commands or signals; else 1.")
    since: datetime | None
    reason: str | None = Field(description="Of a kill switch.")
    href: str | None = Field(description="The list that shows it.")


class Overview(Out):
    """Counts, each with a link to its filtered list. Every run status has one."""

    running: Count
    queued: Count
    waiting: Count
    waiting_for_approval: Count
    retrying: Count = Field(description="Waiting to try a step again.")
    approvals_for_me: Count
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
    conditions: list[Condition] = Field(
        description="Empty if all is well; at most 50 of a kind. Commands are the caller's own, without the permission `audit`."
    )
    generated_at: datetime
    projection: Freshness
