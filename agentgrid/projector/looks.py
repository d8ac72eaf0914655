"""When an open execution is looked at again, and when Describe is called for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from agentgrid.projector import live
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.fold.summary import next_at
from agentgrid.projector.store import LiveReport

FOREIGN_INTERVAL = timedelta(seconds=30)
"""How often an open execution is read if its worker sends no touches."""
AFTER_TIMER = timedelta(milliseconds=250)


def describe_due(state: FoldState, checked_at: datetime | None, *, now: datetime, hinted: bool) -> bool:
    """Whether to call Describe now. hinted: something reported news of this execution."""
    at = live.describe_at(state, checked_at=checked_at, now=now)
    if at is None:
        return False
    if hinted:
        return checked_at is None or now - checked_at >= live.LEAST_INTERVAL
    return at <= now


def next_look(
    state: FoldState,
    checked_at: datetime | None,
    report: LiveReport | None,
    *,
    now: datetime,
    foreign_interval: timedelta,
) -> datetime | None:
    """When to look again: for a timer, an expiry, a retry, or the next Describe. None for never."""
    times: list[datetime] = []
    if (due := next_at(state)) is not None:
        # If it is past due, no worker has taken the task that it triggered.
        times.append(due + AFTER_TIMER if due > now else now + foreign_interval)
    if (describe_at := live.describe_at(state, checked_at=checked_at, now=now)) is not None:
        times.append(describe_at)
    if report is not None and (retry := live.next_retry(report)) is not None:
        times.append(max(retry + live.AFTER_RETRY, now + live.LEAST_INTERVAL))
    if not state.governed:
        times.append(now + foreign_interval)
    return min(times, default=None)
