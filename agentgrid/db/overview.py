"""What happens next, and what needs attention, with one bounded statement each, because the overview polls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import DateTime, Integer, Text, bindparam, case, cast, exists, func, literal, null, select, union_all

from agentgrid.db import commands, scopes
from agentgrid.db.run_filter import Scope
from agentgrid.db.session import ReadSession
from agentgrid.db.tables import Approval, Command, DecisionRow, Run, Switch, ToolRow, Workflow
from agentgrid.domain.approval_status import ApprovalStatus
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.overview import NextKind, Sign
from agentgrid.domain.runs import RunStatus, WaitingOn

A: Any = Approval
C: Any = Command
D: Any = DecisionRow
F: Any = Workflow
R: Any = Run
T: Any = ToolRow
W: Any = Switch

MOST_NEXT = 10
MOST_SIGNS = 50
"""Maximum findings of each kind."""
ALIKE = timedelta(seconds=1)
"""Tolerance when comparing a run's `next_at` with its approval's expiry: they come from two events of one task."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """Something that is due at a known time, such as a timer or an expiry."""

    kind: NextKind
    at: datetime
    run_id: str
    workflow: str
    workflow_title: str | None
    reference: str | None
    subject: str | None
    current_step: str | None
    current_kind: str | None
    asked: str | None
    approval_id: str | None
    tool: str | None
    tool_title: str | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that needs attention, according to the database."""

    sign: Sign
    name: str | None
    """The name of the task queue or of the disabled thing, or a run id."""
    thing: str | None
    """The kind of the disabled thing."""
    count: int
    since: datetime | None
    reason: str | None


async def upcoming(session: ReadSession, *, scope: Scope, approvals_of: str | None = None) -> Sequence[Due]:
    """What is due next in runs of the scope, soonest first; at most 10. What is overdue is omitted.

    approvals_of: only the approvals of runs that this principal started.
    """
    rows = (await session.execute(_upcoming(scope, approvals_of))).mappings()
    return [Due(**{**row, "kind": NextKind(row["kind"])}) for row in rows]


@lru_cache(maxsize=256)
def _upcoming(scope: Scope, approvals_of: str | None) -> Any:
    inside = scopes.within(R.workflow, scope)
    own = [] if approvals_of is None else [R.initiator == approvals_of]
    expiries = (
        select(*_due(literal(NextKind.APPROVAL_EXPIRES.value), A.expires_at, A.approval_id, A.tool, A.asked))
        .join(R, R.run_id == A.run_id)
        .where(A.status == ApprovalStatus.PENDING.value, ~A.inherited, A.expires_at > func.now(), *inside, *own)
        .order_by(A.expires_at)
        .limit(MOST_NEXT)
    )
    kind = case(
        (R.start_at > func.now(), NextKind.START.value),
        (R.waiting_on == WaitingOn.RETRY.value, NextKind.RETRY.value),
        else_=NextKind.TIMER.value,
    )
    is_expiry = exists().where(
        A.run_id == R.run_id,
        A.status == ApprovalStatus.PENDING.value,
        A.expires_at.between(R.next_at - ALIKE, R.next_at + ALIKE),
    )
    timers = (
        select(*_due(kind, R.next_at))
        .where(R.next_at > func.now(), ~is_expiry, *inside)
        .order_by(R.next_at, R.run_id)
        .limit(MOST_NEXT)
    )
    starts = (
        select(*_due(literal(NextKind.START.value), R.start_at))
        .where(R.status == RunStatus.QUEUED.value, R.start_at > func.now(), R.next_at.is_(None), *inside)
        .order_by(R.start_at)
        .limit(MOST_NEXT)
    )
    every = union_all(*(select(part.subquery()) for part in (expiries, timers, starts))).subquery()
    first = select(every).order_by(every.c.at, every.c.run_id).limit(MOST_NEXT).subquery()
    return (
        select(first, F.title.label("workflow_title"), T.title.label("tool_title"))
        .outerjoin(F, F.name == first.c.workflow)
        .outerjoin(T, T.name == first.c.tool)
        .order_by(first.c.at, first.c.run_id)
    )


def _due(kind: Any, at: Any, approval_id: Any = None, tool: Any = None, asked: Any = None) -> Sequence[Any]:
    return (
        cast(kind, Text).label("kind"),
        at.label("at"),
        R.run_id,
        R.workflow,
        R.reference,
        R.subject,
        R.current_step,
        R.current_kind,
        (R.asked if asked is None else asked).label("asked"),
        cast(null() if approval_id is None else approval_id, Text).label("approval_id"),
        cast(null() if tool is None else tool, Text).label("tool"),
    )


async def signs(
    session: ReadSession, *, scope: Scope, commands_of: str | None, since: timedelta, before: datetime
) -> Sequence[Finding]:
    """What needs attention: queues whose runs wait for a worker, active kill switches, pending commands, refused signals.

    commands_of: only this principal's commands. since: the period for refused signals. before: only commands recorded before this time.
    """
    rows = (await session.execute(_signs(scope, commands_of, since), {"before": before})).mappings()
    return [Finding(**{**row, "sign": Sign(row["sign"])}) for row in rows]


@lru_cache(maxsize=256)
def _signs(scope: Scope, commands_of: str | None, since: timedelta) -> Any:
    inside = scopes.within(R.workflow, scope)
    parts = (_queues(inside), _switches(), _commands(scope, commands_of), _refused(inside, since))
    return union_all(*(select(part.subquery()) for part in parts))


def _sign(
    sign: Sign, *, name: Any = None, thing: Any = None, count: Any = None, since: Any = None, reason: Any = None
) -> Sequence[Any]:
    return (
        literal(sign.value, Text).label("sign"),
        cast(null() if name is None else name, Text).label("name"),
        cast(null() if thing is None else thing, Text).label("thing"),
        cast(1 if count is None else count, Integer).label("count"),
        cast(null() if since is None else since, DateTime(timezone=True)).label("since"),
        cast(null() if reason is None else reason, Text).label("reason"),
    )


def _queues(inside: Sequence[Any]) -> Any:
    return (
        select(*_sign(Sign.QUEUE, name=R.task_queue, count=func.count()))
        .where(R.waiting_on == WaitingOn.WORKER.value, *inside)
        .group_by(R.task_queue)
        .order_by(func.count().desc(), R.task_queue)
        .limit(MOST_SIGNS)
    )


def _switches() -> Any:
    newest = select(Switch).distinct(W.kind, W.name).order_by(W.kind, W.name, W.version.desc()).subquery().c
    values = _sign(Sign.SWITCH, name=newest.name, thing=newest.kind, since=newest.created_at, reason=newest.reason)
    return select(*values).where(newest.disabled).order_by(newest.created_at.desc()).limit(MOST_SIGNS)


def _commands(scope: Scope, commands_of: str | None) -> Any:
    own = [] if commands_of is None else [C.principal == commands_of]
    waiting = (
        C.status == CommandStatus.PENDING.value,
        C.created_at < bindparam("before", type_=DateTime(timezone=True)),
        *commands.within(C, scope),
        *own,
    )
    values = _sign(Sign.COMMANDS, count=func.count(), since=func.min(C.created_at))
    return select(*values).select_from(Command).where(*waiting).having(func.count() > 0)


def _refused(inside: Sequence[Any], since: timedelta) -> Any:
    values = _sign(Sign.SIGNALS, name=func.max(D.run_id), count=func.count(), since=func.min(D.signalled_at))
    statement = select(*values).select_from(DecisionRow)
    if inside:
        statement = statement.join(R, R.run_id == D.run_id)
    refused = (D.judged == "refused", ~D.inherited, D.signalled_at > func.now() - since)
    return statement.where(*refused, *inside).having(func.count() > 0)
