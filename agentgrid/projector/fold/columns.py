"""The columns that the fold writes, typed so that the type checker finds wrong ones. The store adds the others."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from agentgrid.projector.history_events import Stored


class StepColumns(TypedDict, total=False):
    """A row of `steps`."""

    event_id: int
    parent: int | None
    turn: int | None
    kind: str
    name: str
    title: str | None
    status: str
    inherited: bool
    attempts: int
    activity_id: str | None
    task_queue: str | None
    worker: str | None
    call_key: str | None
    tool_version: str | None
    local: bool
    governed: bool
    approval_id: str | None
    child_workflow_id: str | None
    child_execution_id: str | None
    scheduled_at: datetime
    started_at: datetime | None
    closed_at: datetime
    due_at: datetime | None
    closed_event_id: int
    input: Stored | None
    changed_input: Stored | None
    output: Stored | None
    error: Stored | None
    usage: dict[str, Any]
    live_state: str | None
    live_attempt: int | None
    live_error: Stored | None
    live_next_retry_at: datetime | None
    live_heartbeat_at: datetime | None
    live_worker: str | None


class ApprovalColumns(TypedDict, total=False):
    """A row of `approvals`."""

    approval_id: str
    step_event_id: int
    opened_event_id: int
    inherited: bool
    kind: str
    title: str
    tool: str | None
    tool_version: str | None
    risk: str | None
    agent: str | None
    agent_version: str | None
    turn: int | None
    digest: str
    policy: str | None
    approvers: list[str]
    initiator: str | None
    terms: dict[str, Any]
    payload: Stored | None
    status: str
    decidable: bool
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime
    decision_event_id: int
    changed: Stored
    changed_digest: str
    proposed_by: str | None
    change_refused: str


class SignalColumns(TypedDict, total=False):
    """The common columns of `decisions` and `controls`. A copy in a reset's history is `inherited`."""

    event_id: int
    principal: str | None
    identity: str | None
    inherited: bool


class DecisionColumns(SignalColumns, total=False):
    """A row of `decisions`."""

    approval_id: str | None
    judged: str
    reason: str | None
    verdict: str | None
    approver: str | None
    key_id: str | None
    decided_at: datetime | None
    signalled_at: datetime | None


class ControlColumns(SignalColumns, total=False):
    """A row of `controls`."""

    action: str
    signalled_at: datetime
