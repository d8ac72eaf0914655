"""Whether an execution began under the plugin, in minimal histories. `tests/worker/test_begins.py` tests it on a real server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import DataConverter

from agentgrid.domain.runs import ExecutionKind
from agentgrid.projector import history_events
from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.protocol import BUILD_GATE, PATCH_GATE

AT = datetime(2026, 1, 1, tzinfo=UTC)
BEGINNING: dict[str, Any] = {"workflow": "w", "task_queue": "q", "first_execution_id": "e", "kind": ExecutionKind.FIRST}
EVENTS: dict[str, Any] = {
    "scheduled": (history_events.TaskScheduled, {}),
    "started": (history_events.TaskStarted, {}),
    "failed": (history_events.TaskFailed, {"cause": "timed_out"}),
    "governed": (history_events.TaskCompleted, {"started_event_id": 0, "claims": True}),
    "plain": (history_events.TaskCompleted, {"started_event_id": 0}),
    "marker": (history_events.Patched, {"patch": PATCH_GATE}),
    "other marker": (history_events.Patched, {"patch": "users-own"}),
    "signal": (history_events.Signaled, {"name": "go", "input": {}}),
    "update": (history_events.UpdateAccepted, {"update_id": "u", "name": "nudge"}),
    "call": (
        history_events.ActivityScheduled,
        {"activity_id": "1", "activity_type": "a", "task_queue": "q", "call_key": "k", "headed": True},
    ),
    "bare call": (history_events.ActivityScheduled, {"activity_id": "1", "activity_type": "a", "task_queue": "q"}),
    "child": (history_events.CallInitiated, {"kind": "child", "name": "c", "governed": True}),
    "bare child": (history_events.CallInitiated, {"kind": "child", "name": "c"}),
    "bare signal": (history_events.CallInitiated, {"kind": "signal", "name": "s"}),
    "timer": (history_events.TimerStarted, {"timer_id": "1", "seconds": 1.0}),
}
TASK = "scheduled, started"


@pytest.mark.parametrize(
    ("governed", "history"),
    [
        (False, ""),
        (False, TASK),
        (True, f"{TASK}, governed"),
        (True, f"{TASK}, governed, call"),
        (True, f"signal, {TASK}, plain, marker, call"),
        (False, f"{TASK}, plain, other marker, call"),
        # Later workers make no difference.
        (True, f"{TASK}, governed, call, {TASK}, plain, bare call"),
        (False, f"{TASK}, plain, bare call, {TASK}, governed, bare call"),
        (True, f"{TASK}, governed, signal, {TASK}, plain, bare call"),
        (False, f"{TASK}, plain, signal, {TASK}, governed, bare call"),
        # A failed task doesn't count.
        (True, f"{TASK}, failed, {TASK}, governed, timer"),
        # Empty tasks and the task that directly follows count as one.
        (False, f"{TASK}, governed, {TASK}, plain, bare call"),
        (True, f"{TASK}, plain, {TASK}, governed, call"),
        (False, f"{TASK}, governed, {TASK}, failed, {TASK}, plain, timer"),
        (True, f"{TASK}, plain, {TASK}, plain, {TASK}, governed, call"),
        # Except for an update, which belongs to the task before.
        (True, f"{TASK}, governed, {TASK}, plain, update, bare call"),
        (False, f"{TASK}, plain, {TASK}, governed, update, bare call"),
        (True, f"{TASK}, plain, {TASK}, governed, marker, update, call"),
        (True, f"{TASK}, governed, update, call"),
        # A worker that claims the plugin without having it.
        (False, f"{TASK}, governed, bare call"),
        (False, f"{TASK}, governed, timer, bare child"),
        (False, f"{TASK}, governed, timer, {TASK}, governed, bare call, {TASK}, governed, call"),
        (True, f"{TASK}, governed, bare signal, child"),
    ],
)
def test_history_shows_whether_a_run_began_under_the_plugin(governed: bool, history: str) -> None:
    state, _ = fold(FoldState(execution_id="e"), [history_events.Started(event_id=1, at=AT, **BEGINNING)])
    for event_id, name in enumerate(history.split(", ") if history else (), 2):
        kind, values = EVENTS[name]
        state, _ = fold(state, [kind(event_id=event_id, at=AT, **values)])
    assert state.governed == governed
    assert FoldState.load(state.dump()) == state


@pytest.mark.parametrize(
    ("build", "deployment", "shown", "claims"),
    [
        (f"{BUILD_GATE}b1", "grid", "b1", True),
        (f"{BUILD_GATE}b1", "", None, True),
        ("b1", "grid", "b1", False),
        ("b1", "", None, False),
        (PATCH_GATE, "grid", PATCH_GATE, False),
    ],
)
@pytest.mark.parametrize("old", [False, True], ids=["deployment", "stamp"])
def test_a_build_is_shown_without_its_prefix(
    build: str, deployment: str, shown: str | None, claims: bool, old: bool
) -> None:
    event = HistoryEvent(event_id=4)
    completed = event.workflow_task_completed_event_attributes
    completed.worker_version.build_id = build
    completed.worker_deployment_name = deployment
    if deployment and not old:
        completed.deployment_version.CopyFrom(WorkerDeploymentVersion(deployment_name=deployment, build_id=build))
    (read,) = decode([event], DataConverter.default.payload_converter)
    assert isinstance(read, history_events.TaskCompleted)
    assert (read.build, read.claims) == (shown, claims)
