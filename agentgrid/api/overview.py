"""The overview: counts that together cover every run, each with the list it counts; what is due next; what needs attention."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from google.protobuf.timestamp_pb2 import Timestamp

from agentgrid.api import freshness
from agentgrid.api.access import V1
from agentgrid.api.approval_filter import pending_of
from agentgrid.api.overview_lists import DAY, TEMPORAL_SECONDS, UNSUCCESSFUL, lists_of, polled_within
from agentgrid.api.schemas.overview import Hour, NextDue, Overview, OverviewCondition
from agentgrid.api.schemas.service import Count, Freshness
from agentgrid.api.shown import Shown
from agentgrid.control import workers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import approvals, commands, runs
from agentgrid.db import overview as db_overview
from agentgrid.db.approvals import ApprovalFilter
from agentgrid.db.overview import Due, Finding
from agentgrid.db.session import ReadSession
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.overview import ConditionKind, Sign
from agentgrid.domain.principals import Permission
from agentgrid.domain.run_states import RunState
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.domain.switches import SwitchKind
from agentgrid.errors import AgentGridError

HOURS = 24
DELIVERY_GRACE = timedelta(seconds=10)
"""A command recorded within this time is assumed to be in delivery."""
_PAGES = {SwitchKind.TOOL: "tools", SwitchKind.WORKFLOW: "workflows", SwitchKind.AGENT: "agents"}


async def overview_of(
    session: ReadSession, plane: ControlPlane, caller: Caller, shown: Shown, inbox: ApprovalFilter, *, lists: bool
) -> Overview:
    """The overview of what the caller may see.

    inbox: the approvals it can decide now. lists: include the first rows of lists.
    """
    stale = asyncio.create_task(_stale_workers(plane))
    try:
        now = await commands.clock(session)
        scope = caller.principal.workflows
        counts = await runs.counts(session, scope=scope, since=DAY)
        mine = await approvals.count(session, filters=inbox, scope=scope)
        pending = await approvals.count(session, filters=pending_of(caller), scope=scope)
        principal, before = caller.principal, now - DELIVERY_GRACE
        approvals_of = principal.name if principal.only_own_approvals else None
        commands_of = None if principal.may(Permission.AUDIT) else principal.name
        due = await db_overview.upcoming(session, scope=scope, approvals_of=approvals_of)
        findings = await db_overview.signs(session, scope=scope, commands_of=commands_of, since=DAY, before=before)
        projection = await freshness.read(session, now)
        return Overview(
            **_figures(counts, mine, pending, (now - DAY).astimezone(UTC)),
            hours=_hours(counts, now),
            next=[_next(item, shown) for item in due],
            lists=await lists_of(session, plane, caller, shown, inbox, now) if lists else None,
            conditions=[
                *await _temporal_conditions(plane, findings, stale),
                *_stored_conditions(findings, before),
                *_projection_conditions(projection),
            ],
            generated_at=now,
            projection=projection,
        )
    finally:
        stale.cancel()


def _figures(counts: runs.Counts, mine: int, pending: int, since: datetime) -> Mapping[str, Count]:
    opened = (RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.WAITING, RunStatus.PAUSED, RunStatus.CANCELLING)
    closed = (*UNSUCCESSFUL, RunStatus.CANCELLED, RunStatus.COMPLETED)
    waiting = RunStatus.WAITING.value
    return {
        **{status.value: _count(counts, [status]) for status in opened},
        **{f"{status.value}_24h": _count(counts, [status], closed_after=since) for status in closed},
        "unsuccessful_24h": _count(counts, UNSUCCESSFUL, closed_after=since),
        "waiting_for_approval": Count(
            count=counts.waiting_for_approval, href=_runs(status=waiting, waiting_on=WaitingOn.APPROVAL.value)
        ),
        "retrying": Count(count=counts.retrying, href=_runs(status=waiting, waiting_on=WaitingOn.RETRY.value)),
        "waiting_otherwise": Count(
            count=counts.waiting_otherwise, href=_runs(state=[RunState.SLEEPING.value, RunState.WAITING.value])
        ),
        "approvals_for_me": Count(count=mine, href=f"{V1}/approvals?decidable_by=me"),
        "approvals_pending": Count(count=pending, href=f"{V1}/approvals?status=pending"),
        "stuck": Count(count=counts.stuck, href=_runs(stuck="true")),
    }


def _count(counts: runs.Counts, statuses: Collection[RunStatus], *, closed_after: datetime | None = None) -> Count:
    closed = {} if closed_after is None else {"closed_after": closed_after.isoformat()}
    href = _runs(status=[status.value for status in statuses], **closed)
    return Count(count=sum(counts.by_status[status] for status in statuses), href=href)


def _runs(**filters: str | Sequence[str]) -> str:
    return f"{V1}/runs?{urlencode(filters, doseq=True)}"


def _hours(counts: runs.Counts, now: datetime) -> list[Hour]:
    completed, failed = [0] * HOURS, [0] * HOURS
    for (ago, status), count in counts.by_hour.items():
        # Closing times come from Temporal's clock, which may be slightly ahead of the database's.
        hour = HOURS - 1 - min(max(ago, 0), HOURS - 1)
        if status is RunStatus.COMPLETED:
            completed[hour] += count
        elif status in UNSUCCESSFUL:
            failed[hour] += count
    first = now - HOURS * timedelta(hours=1)
    return [
        Hour(start=first + hour * timedelta(hours=1), completed=completed[hour], failed=failed[hour])
        for hour in range(HOURS)
    ]


def _next(due: Due, shown: Shown) -> NextDue:
    href = (
        f"{V1}/runs/{quote(due.run_id, safe='')}"
        if due.approval_id is None
        else f"{V1}/approvals/{quote(due.approval_id, safe='')}"
    )
    at = shown.text(due.asked) or shown.current_step(due.current_kind, due.current_step)
    subject = shown.text(due.subject or None)
    return NextDue.model_validate({**vars(due), "subject": subject, "current_step": at, "href": href})


async def _stale_workers(plane: ControlPlane) -> list[OverviewCondition] | None:
    """Workers without recent heartbeats; None if Temporal is unreachable."""
    try:
        async with asyncio.timeout(TEMPORAL_SECONDS):
            beats = await workers.heartbeats(plane)
    except (AgentGridError, TimeoutError):
        return None
    silent = [beat for beat in beats if workers.is_stale(beat) and not workers.is_stopping(beat)]
    return [
        _condition(
            ConditionKind.WORKER_STALE,
            name=beat.worker_identity,
            since=_time(beat.heartbeat_time),
            href=f"{V1}/workers",
        )
        for beat in silent[: db_overview.MOST_SIGNS]
    ]


def _time(stamp: Timestamp) -> datetime | None:
    return stamp.ToDatetime(tzinfo=UTC) if stamp.seconds else None


async def _temporal_conditions(
    plane: ControlPlane, findings: Sequence[Finding], stale: asyncio.Task[list[OverviewCondition] | None]
) -> list[OverviewCondition]:
    """Conditions from Temporal: that it is unreachable, or else stale workers; and for each queue with waiting runs, whether it is polled."""
    queues = {finding.name or "": finding.count for finding in findings if finding.sign is Sign.QUEUE}
    silent = await stale
    served = {} if silent is None or not queues else await polled_within(plane, list(queues))
    conditions = [_condition(ConditionKind.TEMPORAL_AWAY)] if silent is None else silent
    for name, count in queues.items():
        kind = ConditionKind.QUEUE_UNSERVED if served.get(name) is False else ConditionKind.QUEUE_WAITING
        href = _runs(waiting_on=WaitingOn.WORKER.value, task_queue=name)
        conditions.append(_condition(kind, name=name, count=count, href=href))
    return conditions


def _stored_conditions(findings: Sequence[Finding], before: datetime) -> list[OverviewCondition]:
    pending = urlencode({"status": CommandStatus.PENDING.value, "until": before.astimezone(UTC).isoformat()})
    conditions = []
    for finding in findings:
        if finding.sign is Sign.SWITCH:
            page = _PAGES.get(SwitchKind(finding.thing)) if finding.thing in set(SwitchKind) else None
            href = None if page is None else f"{V1}/{page}/{quote(finding.name or '', safe='')}"
            conditions.append(
                _condition(
                    ConditionKind.SWITCHED_OFF,
                    name=finding.name,
                    thing=finding.thing,
                    since=finding.since,
                    reason=finding.reason or None,
                    href=href,
                )
            )
        elif finding.sign is Sign.COMMANDS:
            href = f"{V1}/commands?{pending}"
            kind = ConditionKind.COMMANDS_PENDING
            conditions.append(_condition(kind, count=finding.count, since=finding.since, href=href))
        elif finding.sign is Sign.SIGNALS:
            href = f"{V1}/runs/{quote(finding.name or '', safe='')}"
            kind = ConditionKind.SIGNALS_REFUSED
            conditions.append(_condition(kind, count=finding.count, since=finding.since, href=href))
    return conditions


def _projection_conditions(projection: Freshness) -> list[OverviewCondition]:
    if not projection.stale:
        return []
    return [_condition(ConditionKind.PROJECTION_BEHIND, since=projection.updated_at)]


def _condition(
    kind: ConditionKind,
    *,
    name: str | None = None,
    thing: str | None = None,
    count: int = 1,
    since: datetime | None = None,
    reason: str | None = None,
    href: str | None = None,
) -> OverviewCondition:
    return OverviewCondition(kind=kind, name=name, thing=thing, count=count, since=since, reason=reason, href=href)
