"""When an open execution is looked at again, and when Temporal is asked about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.projector.fold.state import FoldState, OpenStep
from agentgrid.projector.looks import asks, next_look

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FOREIGN = timedelta(seconds=30)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def opened(**over: Any) -> FoldState:
    return FoldState(execution_id="e", governed=True, **over)


def running(since: datetime) -> FoldState:
    """An execution with one open activity, of which history says no more until it ends."""
    step = OpenStep(kind="tool", label="t", status="running", since=since.isoformat())
    return opened(steps={5: step}, calls={5: 5})


@pytest.mark.parametrize(
    ("state", "checked_at", "hinted", "expected"),
    [
        (opened(), None, True, False),
        (running(after(-1)), None, False, False),
        (running(after(-1)), None, True, True),
        (running(after(-6)), None, False, True),
        (running(after(-6)), after(-1), True, False),
        (running(after(-6)), after(-5), True, True),
        (running(after(-3600)), after(-6), False, False),
    ],
    ids=["history says all", "just begun", "news", "begun a while ago", "news after news", "later news", "long ago"],
)
def test_temporal_is_asked_when_history_says_no_more_but_not_all_the_time(
    state: FoldState, checked_at: datetime | None, hinted: bool, expected: bool
) -> None:
    assert asks(state, checked_at, now=NOW, hinted=hinted) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (opened(), None),
        (FoldState(execution_id="e"), after(30)),
        (opened(first_task_at=after(60).isoformat()), after(60.25)),
        (opened(first_task_at=after(-60).isoformat()), after(30)),
        (running(NOW), after(5)),
    ],
    ids=["nothing is due", "its worker touches nothing", "due later", "past due", "an activity"],
)
def test_an_execution_is_looked_at_again_just_after_something_is_due(
    state: FoldState, expected: datetime | None
) -> None:
    assert next_look(state, None, None, now=NOW, foreign_interval=FOREIGN) == expected
