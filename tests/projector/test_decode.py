"""Decoding: every event type of Temporal is known, and no malformed event raises or hides others."""

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


def empty(attribute: str, event_id: int = 2) -> HistoryEvent:
    """An event of this kind without content."""
    name = f"EVENT_TYPE_{attribute.removesuffix('_event_attributes').upper()}"
    event = HistoryEvent(event_id=event_id, event_type=EventType.Value(name), event_time=Timestamp(seconds=1))
    getattr(event, attribute).SetInParent()
    return event


def decoded_event(event: HistoryEvent) -> Any:
    (decoded,) = decode([event], pydantic_data_converter.payload_converter)
    return decoded


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_event_type_of_this_sdk_is_known_and_folds_even_if_empty(attribute: str) -> None:
    decoded = decoded_event(empty(attribute))
    assert not isinstance(decoded, history_events.Unknown)
    state = FoldState(execution_id="e", last_event_id=1)
    new_state, _ = fold(state, [decoded])
    assert new_state.last_event_id == 2


def test_an_event_of_an_unknown_type_is_counted_and_ignored() -> None:
    decoded = decoded_event(HistoryEvent(event_id=2, event_type=9999))  # type: ignore[arg-type]
    assert isinstance(decoded, history_events.Unknown)
    new_state, changes = fold(FoldState(execution_id="e", last_event_id=1), [decoded])
    assert new_state.opaque == 1
    assert not changes.steps.opened


def test_the_facts_of_a_model_turn_never_break_the_sums_of_usage() -> None:
    """PostgreSQL's JSON operators reject U+0000: one such turn would break the sums of every agent."""
    event = empty("activity_task_completed_event_attributes")
    data = (
        b'{"message": {}, "calls": [], "final": true, "latency_ms": 5, "usage": {"requests": 1}, "model": "a\\u0000b"}'
    )
    event.activity_task_completed_event_attributes.result.payloads.append(
        Payload(metadata={"encoding": b"json/plain"}, data=data)
    )
    turn = decoded_event(event).turn
    assert (turn.usage.requests, turn.facts["model"]) == (1, "ab")


def test_an_undecodable_payload_is_stored_as_opaque_and_counted() -> None:
    event = empty("activity_task_scheduled_event_attributes")
    attributes = event.activity_task_scheduled_event_attributes
    attributes.activity_type.name = "tool.refund"
    attributes.input.payloads.append(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"sealed"))
    decoded = decoded_event(event)
    assert decoded.opaque == 1
    assert (decoded.kind, decoded.name) == (StepKind.ACTIVITY, decoded.activity_type)
    assert decoded.input == {"size": 6, "encoding": "binary/encrypted", "opaque": True}


def test_a_broken_marker_is_unknown_and_does_not_affect_other_events() -> None:
    broken = empty("marker_recorded_event_attributes", 2)
    broken.marker_recorded_event_attributes.marker_name = "core_local_activity"
    broken.marker_recorded_event_attributes.details["data"].payloads.append(Payload(data=b"{{{"))
    after = empty("timer_started_event_attributes", 3)
    decoded = decode([broken, after], pydantic_data_converter.payload_converter)
    assert [type(event) for event in decoded] == [history_events.Unknown, history_events.TimerStarted]


@pytest.mark.parametrize("name", [SIGNAL_DECIDE, SIGNAL_CONTROL])
@pytest.mark.parametrize("payloads", [0, 1, 2, 6])
@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b'"x"', b"x" * 100_000])
def test_reserved_signals_of_any_form_decode_to_their_own_type(name: str, payloads: int, data: bytes) -> None:
    event = empty("workflow_execution_signaled_event_attributes")
    event.workflow_execution_signaled_event_attributes.signal_name = name
    for _ in range(payloads):
        event.workflow_execution_signaled_event_attributes.input.payloads.append(Payload(data=data))
    decoded = decoded_event(event)
    assert isinstance(decoded, history_events.Decided | history_events.Controlled)
    new_state, changes = fold(FoldState(execution_id="e", last_event_id=1, governed=True), [decoded])
    assert not new_state.paused
    assert [row["judged"] for row in changes.decisions.values()] == (["refused"] if name == SIGNAL_DECIDE else [])


def test_a_task_lost_with_its_worker_is_not_a_failure_but_one_that_timed_out_is() -> None:
    lost = empty("workflow_task_timed_out_event_attributes")
    lost.workflow_task_timed_out_event_attributes.timeout_type = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
    slow = empty("workflow_task_timed_out_event_attributes")
    slow.workflow_task_timed_out_event_attributes.timeout_type = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    state = FoldState(execution_id="e", last_event_id=1)
    assert fold(state, [decoded_event(lost)])[0].problem is None
    assert "timed out" in (fold(state, [decoded_event(slow)])[0].problem or "")
