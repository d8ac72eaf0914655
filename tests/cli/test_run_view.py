"""The terminal view of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from agentgrid.cli.run_view import run_detail
from tests.cli.test_run_watch import a_run, a_step

REFUSED = {"type": "ToolError", "message": "the desk refused A-1", "at": "desk.py:8 in refuse", "cause": None}
WRAPPED = {"type": "ActivityError", "message": "Activity task failed", "cause": REFUSED}


def printed(steps: Sequence[dict[str, Any]], **changed: Any) -> str:
    run = a_run("failed") | {
        "workflow_id": "r",
        "unattributed_signals": 0,
        "last_control": None,
        "initiator": "operator",
        "reference": None,
        "subject": None,
        "tags": [],
        "note": None,
        "version": "v1",
        "task_queue": "desk",
        "parent_run_id": None,
        "links": {"temporal_ui": None},
        "children": [],
        "input": None,
    }
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(run_detail(run | changed, steps))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_failed_runs_error_is_shown_only_if_it_adds_to_its_reason_and_steps() -> None:
    """A failed step's message was once shown three times: as the run's reason, under the step, and as the run's error."""
    failed = [a_step(5, "failed", error=REFUSED)]
    reason = "refuse: ToolError: the desk refused A-1 (at desk.py:8 in refuse)"
    output = printed(failed, error=WRAPPED, status_reason=reason)
    assert output.count("the desk refused A-1") == 2
    assert "Error\n" not in output
    child = {"type": "ChildWorkflowError", "message": "Child Workflow execution failed", "cause": WRAPPED}
    assert "Error\n" not in printed([], error=child, status_reason=reason)
    hidden = {"type": "ActivityError", "message": None, "cause": {"type": "ToolError", "message": None, "cause": None}}
    assert "Error\n" not in printed([], error=hidden, error_type="ToolError")
    more = REFUSED | {"cause": {"type": "KeyError", "message": "'A-1'", "cause": None}}
    assert "Error\n" in printed(failed, error=WRAPPED | {"cause": more}, status_reason=reason)
    assert "Error\n" in printed([], error=WRAPPED, status_reason="refuse: ToolError: the des")  # cut


def test_a_runs_subject_is_shown() -> None:
    assert "subject     Ticket T-7" in printed([], subject="Ticket T-7")
    assert "subject" not in printed([])
