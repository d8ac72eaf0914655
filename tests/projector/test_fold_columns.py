"""The columns that the fold writes exist in their tables, and live columns are cleared."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentgrid.domain.steps import StepStatus
from agentgrid.projector import history_events, rows
from agentgrid.projector.fold import activities, columns
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.fold.state import FoldState, OpenStep


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("steps", columns.StepColumns),
        ("approvals", columns.ApprovalColumns),
        ("decisions", columns.DecisionColumns),
        ("controls", columns.ControlColumns),
    ],
)
def test_each_column_of_the_fold_exists_in_its_table(table: str, row: type) -> None:
    assert set(row.__annotations__) <= set(rows.columns_of(table))


def test_the_live_report_about_an_attempt_is_cleared_once_history_has_newer_events() -> None:
    live = {name: None for name in rows.columns_of("steps") if name.startswith("live_")}
    step = OpenStep(kind="tool", label="t", status="scheduled")
    fold = Pass(state=FoldState(execution_id="e", steps={5: step}, calls={5: 5}))
    at = datetime(2026, 11, 29, tzinfo=UTC)
    event = history_events.ActivityStarted(event_id=6, at=at, scheduled_event_id=5, attempt=2, worker="w")
    activities.started(fold, event)
    row = fold.changes.steps.patched[5]
    assert row.items() >= {**live, "status": "running", "attempts": 2, "started_at": at}.items()
    fold.changes.steps.patched.clear()
    fold.close_step(5, event, StepStatus.COMPLETED)
    assert fold.changes.steps.patched[5].items() >= {**live, "status": "completed"}.items()
