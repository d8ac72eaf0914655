"""The status of a run whose workflow task fails: the reason, worker and build, which take precedence over anything else it waits for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agentgrid.domain.runs import ExecutionKind
from agentgrid.projector import history_events
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.fold.summary import Summary, summarise
from agentgrid.projector.history_events import DecodedEvent
from agentgrid.projector.identity import beginning
from agentgrid.protocol import RunHeader
from tests.projector.folding import folded, recorded

AT = datetime(2026, 1, 1, tzinfo=UTC)
WORKER = "7@host"


def folded_on(state: FoldState, *events: tuple[type[DecodedEvent], dict[str, Any]]) -> tuple[FoldState, Summary]:
    """The state after these events, and its summary."""
    new = [kind(event_id=state.last_event_id + n, at=AT, **values) for n, (kind, values) in enumerate(events, 1)]
    state = fold(state, new)[0]
    return state, summarise(state)


def failed(*, misfit: bool = False, cause: str = "workflow_worker_unhandled_failure") -> Any:
    error = {"type": "KeyError", "message": "no such thing"}
    return history_events.TaskFailed, {"cause": cause, "error": error, "worker": WORKER, "misfit": misfit}


SCHEDULED: Any = (history_events.TaskScheduled, {})
STARTED: Any = (history_events.TaskStarted, {"build": "v2"})
COMPLETED: Any = (history_events.TaskCompleted, {"started_event_id": 1, "build": "v1"})


def waiting_for_approval() -> FoldState:
    execution = recorded("gated_approved")[0]
    return folded(execution.execution_id, [execution.events[:13]])[0]


def test_a_run_whose_code_does_not_match_waits_for_a_worker_with_other_code() -> None:
    state, summary = folded_on(waiting_for_approval(), SCHEDULED, STARTED, failed(misfit=True))
    assert (summary.status, summary.waiting_on) == ("waiting", "worker")
    assert summary.reason == (
        f"non-determinism: the code of worker {WORKER} (build v2) doesn't match the run's history: no such thing"
    )
    _, healed = folded_on(state, SCHEDULED, COMPLETED)
    assert (healed.status, healed.waiting_on, healed.reason) == ("waiting", "approval", None)


def test_a_failing_workflow_task_is_retried_and_shown_instead_of_the_open_approval() -> None:
    _, summary = folded_on(waiting_for_approval(), SCHEDULED, STARTED, failed())
    assert (summary.status, summary.waiting_on) == ("waiting", "retry")
    assert summary.reason == f"its workflow task fails on worker {WORKER} (build v2): KeyError: no such thing"


def test_r30_a_header_never_sets_the_initiator_not_even_for_a_child_of_an_unknown_parent() -> None:
    header = RunHeader(tree="t", initiator="alice")
    for parent in (None, "0198c0de-0000-7000-8000-000000000002"):
        started = history_events.Started(
            event_id=1,
            at=AT,
            workflow="w",
            task_queue="q",
            first_execution_id="e",
            kind=ExecutionKind.FIRST,
            parent_execution_id=parent,
            header=header,
        )
        assert beginning(started, run_id="e", memo=None)["initiator"] == "unknown"


def test_a_build_id_of_a_worker_without_a_deployment_is_ignored() -> None:
    """F17: only completed tasks carry the deployment; failed ones carry just the build id."""
    started: Any = (
        history_events.Started,
        {"workflow": "w", "task_queue": "q", "first_execution_id": "e", "kind": ExecutionKind.FIRST},
    )
    completed: Any = (history_events.TaskCompleted, {"started_event_id": 3, "build": None})
    state, _ = folded_on(FoldState(execution_id="e"), started, SCHEDULED, STARTED, completed, SCHEDULED, STARTED)
    assert (
        folded_on(state, failed())[1].reason == f"its workflow task fails on worker {WORKER}: KeyError: no such thing"
    )


@pytest.mark.parametrize(("cause", "status"), [("cancel", "cancelling"), ("pause", "paused")])
def test_a_cancelling_or_paused_run_shows_why_it_makes_no_progress(cause: str, status: str) -> None:
    state = waiting_for_approval()
    if cause == "pause":
        state.paused = True
    else:
        state.cancel_requested = True
    _, summary = folded_on(state, SCHEDULED, STARTED, failed())
    assert summary.status == status
    assert "no such thing" in (summary.reason or "")
