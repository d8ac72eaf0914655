"""Decoding: every event type that Temporal has is known, and nothing that is wrong with an event raises or hides the others."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.domain.steps import StepKind
from agentgrid.projector import history_events
from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.protocol import SIGNAL_CONTROL, SIGNAL_DECIDE

ATTRIBUTES = sorted(field.name for field in HistoryEvent.DESCRIPTOR.oneofs_by_name["attributes"].fields)


def made(attribute: str, event_id: int = 2) -> HistoryEvent:
    """An event of this sort with nothing in it."""
    name = f"EVENT_TYPE_{attribute.removesuffix('_event_attributes').upper()}"
    event = HistoryEvent(event_id=event_id, event_type=EventType.Value(name), event_time=Timestamp(seconds=1))
    getattr(event, attribute).SetInParent()
    return event


def one(event: HistoryEvent) -> Any:
    (decoded,) = decode([event], pydantic_data_converter.payload_converter)
    return decoded


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_event_type_of_this_sdk_is_known_and_folds_even_when_it_is_empty(attribute: str) -> None:
    decoded = one(made(attribute))
    assert not isinstance(decoded, history_events.Unknown)
    state = FoldState(execution_id="e", last_event_id=1)
    moved, _ = fold(state, [decoded])
    assert moved.last_event_id == 2


def test_an_event_of_a_type_from_the_future_is_counted_and_passed_over() -> None:
    decoded = one(HistoryEvent(event_id=2, event_type=9999))  # type: ignore[arg-type]
    assert isinstance(decoded, history_events.Unknown)
    moved, changes = fold(FoldState(execution_id="e", last_event_id=1), [decoded])
    assert moved.opaque == 1
    assert not changes.steps.opened


def test_what_a_model_turn_says_of_itself_holds_nothing_that_would_keep_the_database_from_summing_usage() -> None:
    """PostgreSQL refuses to look into JSON with U+0000: one such turn would break the sums of every agent."""
    event = made("activity_task_completed_event_attributes")
    data = (
        b'{"message": {}, "calls": [], "final": true, "latency_ms": 5, "usage": {"requests": 1}, "model": "a\\u0000b"}'
    )
    event.activity_task_completed_event_attributes.result.payloads.append(
        Payload(metadata={"encoding": b"json/plain"}, data=data)
    )
    turn = one(event).turn
    assert (turn.usage.requests, turn.facts["model"]) == (1, "ab")


def test_an_undecodable_payload_is_shown_as_opaque_and_counted() -> None:
    event = made("activity_task_scheduled_event_attributes")
    attributes = event.activity_task_scheduled_event_attributes
    attributes.activity_type.name = "tool.refund"
    attributes.input.payloads.append(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"sealed"))
    decoded = one(event)
    assert decoded.opaque == 1
    assert (decoded.kind, decoded.name) == (StepKind.ACTIVITY, decoded.activity_type)
    assert decoded.input == {"size": 6, "encoding": "binary/encrypted", "opaque": True}


def test_a_broken_marker_is_unknown_and_its_neighbours_are_not() -> None:
    broken = made("marker_recorded_event_attributes", 2)
    broken.marker_recorded_event_attributes.marker_name = "core_local_activity"
    broken.marker_recorded_event_attributes.details["data"].payloads.append(Payload(data=b"{{{"))
    after = made("timer_started_event_attributes", 3)
    found = decode([broken, after], pydantic_data_converter.payload_converter)
    assert [type(each) for each in found] == [history_events.Unknown, history_events.TimerStarted]


@pytest.mark.parametrize("name", [SIGNAL_DECIDE, SIGNAL_CONTROL])
@pytest.mark.parametrize("payloads", [0, 1, 2, 6])
@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b'"x"', b"x" * 100_000])
def test_reserved_signals_of_any_shape_are_taken_as_what_they_are(name: str, payloads: int, data: bytes) -> None:
    event = made("workflow_execution_signaled_event_attributes")
    event.workflow_execution_signaled_event_attributes.signal_name = name
    for _ in range(payloads):
        event.workflow_execution_signaled_event_attributes.input.payloads.append(Payload(data=data))
    decoded = one(event)
    assert isinstance(decoded, history_events.Decided | history_events.Controlled)
    moved, changes = fold(FoldState(execution_id="e", last_event_id=1, governed=True), [decoded])
    assert not moved.paused
    assert [row["judged"] for row in changes.decisions.values()] == (["refused"] if name == SIGNAL_DECIDE else [])


def test_a_task_lost_with_its_worker_is_no_failure_but_one_that_ran_too_long_is() -> None:
    lost = made("workflow_task_timed_out_event_attributes")
    lost.workflow_task_timed_out_event_attributes.timeout_type = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
    slow = made("workflow_task_timed_out_event_attributes")
    slow.workflow_task_timed_out_event_attributes.timeout_type = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    state = FoldState(execution_id="e", last_event_id=1)
    assert fold(state, [one(lost)])[0].problem is None
    assert "timed out" in (fold(state, [one(slow)])[0].problem or "")
