"""When an open execution is looked at again, and when Describe is called for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.projector.fold.state import FoldState, OpenStep
from agentgrid.projector.looks import describe_due, next_look

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FOREIGN = timedelta(seconds=30)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def opened(**overrides: Any) -> FoldState:
    return FoldState(execution_id="e", governed=True, **overrides)


def running(since: datetime) -> FoldState:
    """An execution with one open activity, about which history shows no more until it ends."""
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
    ids=["history is enough", "just started", "hint", "started a while ago", "second hint", "later hint", "long ago"],
)
def test_describe_is_called_only_when_history_is_not_enough_and_at_growing_intervals(
    state: FoldState, checked_at: datetime | None, hinted: bool, expected: bool
) -> None:
    assert describe_due(state, checked_at, now=NOW, hinted=hinted) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (opened(), None),
        (FoldState(execution_id="e"), after(30)),
        (opened(first_task_at=after(60).isoformat()), after(60.25)),
        (opened(first_task_at=after(-60).isoformat()), after(30)),
        (running(NOW), after(5)),
    ],
    ids=["nothing is due", "its worker sends no touches", "due later", "past due", "an activity"],
)
def test_an_execution_is_looked_at_again_just_after_something_is_due(
    state: FoldState, expected: datetime | None
) -> None:
    assert next_look(state, None, None, now=NOW, foreign_interval=FOREIGN) == expected
