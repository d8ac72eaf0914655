"""R37: terms that name another execution are a reset's copy or a forgery, and open no approval."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.domain.approvals import ApprovalKind, Terms
from agentgrid.domain.runs import ExecutionKind
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.projector import history_events
from agentgrid.projector.fold.state import FoldState
from tests.projector.folding import Rows, folded

AT = datetime(2026, 1, 1, tzinfo=UTC)


def requiring_approval(*after: Any, **changed: Any) -> tuple[FoldState, Rows]:
    """An execution whose first call requires an approval under these terms."""
    fields = {"approval_id": "a", "kind": ApprovalKind.TOOL, "title": "t", "namespace": "default", "workflow_id": "w"}
    fields |= {"execution_id": "e", "digest": "d", "key": "k", "approvers": ("role:approver",)}
    terms = Terms(**(fields | changed))
    history = [
        history_events.Started(
            event_id=1,
            at=AT,
            workflow="x",
            workflow_id="w",
            task_queue="q",
            first_execution_id="e",
            kind=ExecutionKind.FIRST,
            input={"size": 0},
        ),
        call(2),
        history_events.ActivityClosed(event_id=3, at=AT, scheduled_event_id=2, status=StepStatus.FAILED, terms=terms),
        *after,
    ]
    return folded("e", [history])


def call(event_id: int) -> history_events.ActivityScheduled:
    return history_events.ActivityScheduled(
        event_id=event_id,
        at=AT + timedelta(seconds=event_id),
        activity_id=str(event_id),
        activity_type="tool.x",
        task_queue="q",
        kind=StepKind.TOOL,
        name="x",
        call_key="k",
    )


@pytest.mark.parametrize(
    "forged",
    [{"execution_id": "another"}, {"workflow_id": "another"}, {"key": None}],
    ids=["another execution", "another workflow", "no call key"],
)
def test_r37_terms_of_another_execution_open_no_approval(forged: dict[str, Any]) -> None:
    state, rows = requiring_approval(**forged)
    assert rows.approvals["a"]["inherited"], "omitted from every list and from the lookup by id"
    assert state.approvals_pending == 0
    assert rows.steps[2].get("approval_id") is None


def test_terms_of_this_execution_open_an_approval() -> None:
    state, rows = requiring_approval()
    assert not rows.approvals["a"]["inherited"]
    assert state.approvals_pending == 1
    assert rows.steps[2]["approval_id"] == "a"


def test_an_approval_that_never_became_decidable_is_cancelled_when_the_call_is_made_again() -> None:
    state, rows = requiring_approval(call(4))
    assert (rows.approvals["a"]["status"], state.approvals_pending) == ("cancelled", 0)
    assert list(rows.steps) == [2]


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        (["O-1", 3], {"arity": 2, "values": ["O-1", 3]}),
        ([["O-1"]], {"value": ["O-1"]}),
        ([], {"arity": 0, "values": []}),
    ],
    ids=["two", "one list", "none"],
)
def test_arguments_of_a_local_plain_activity_are_stored_as_for_a_remote_one(
    arguments: list[Any], stored: dict[str, Any]
) -> None:
    fields = {"approval_id": "a", "kind": ApprovalKind.TOOL, "title": "t", "namespace": "default", "workflow_id": "w"}
    terms = Terms(**fields, execution_id="e", digest="d", key="k", approvers=("role:approver",), shown=arguments)
    marker = history_events.LocalActivity(
        event_id=1, at=AT, activity_id="1", activity_type="charge", attempt=1, terms=terms
    )
    _, rows = folded("e", [[marker]])
    assert {name: value for name, value in rows.approvals["a"]["payload"].items() if name != "size"} == stored
