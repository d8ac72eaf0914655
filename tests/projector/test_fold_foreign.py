"""Local activities of the Go and Java SDKs (F17), in hand-written markers based on their sources: see `decode/foreign.py`.

These SDKs don't use the core that the others share, so neither the marker's name nor its details are the core's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.projector.decode import decode
from agentgrid.projector.fold.state import FoldState
from tests import oracle
from tests.projector.folding import Rows, folded

EXECUTION = "0198c0de-0000-7000-8000-00000000f0f0"
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def payloads(*values: Any) -> Payloads:
    encoded = [Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode()) for value in values]
    return Payloads(payloads=encoded)


class History:
    """Builds a history."""

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []
        started = self._add(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
        started.workflow_execution_started_event_attributes.workflow_type.name = "Foreign"
        started.workflow_execution_started_event_attributes.first_execution_run_id = EXECUTION
        self._add(EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED).workflow_task_scheduled_event_attributes.attempt = 1
        self._add(
            EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
        ).workflow_task_started_event_attributes.scheduled_event_id = 2
        self._add(
            EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        ).workflow_task_completed_event_attributes.started_event_id = 3

    def _add(self, kind: EventType.ValueType) -> HistoryEvent:
        event = HistoryEvent(event_id=len(self.events) + 1, event_type=kind)
        event.event_time.FromDatetime(BEGAN + timedelta(seconds=len(self.events)))
        self.events.append(event)
        return event

    def marker(self, details: dict[str, Payloads], failure: Failure | None = None, summary: str | None = None) -> None:
        event = self._add(EventType.EVENT_TYPE_MARKER_RECORDED)
        attributes = event.marker_recorded_event_attributes
        attributes.marker_name = "LocalActivity"
        attributes.workflow_task_completed_event_id = 4
        for key, value in details.items():
            attributes.details[key].CopyFrom(value)
        if failure is not None:
            attributes.failure.CopyFrom(failure)
        if summary is not None:
            event.user_metadata.summary.CopyFrom(payloads(summary).payloads[0])

    def go(self, activity_id: str, kind: str, *, attempt: int = 1, backoff_ns: int = 0, **more: Any) -> None:
        data = {
            "ActivityID": activity_id,
            "ActivityType": kind,
            "ReplayTime": "2026-03-01T12:00:04.123456789Z",
            "Attempt": attempt,
            "Backoff": backoff_ns,
        }
        details = {"data": payloads(data)} | ({"result": payloads(more.pop("result"))} if "result" in more else {})
        self.marker(details, **more)

    def java(self, activity_id: str, kind: str, meta: dict[str, Any] | None, **more: Any) -> None:
        details = {"activityId": payloads(activity_id), "type": payloads(kind), "time": payloads(1_772_366_404_123)}
        details |= {key: payloads(*more.pop(key)) for key in ("input", "result", "data") if key in more}
        if meta is not None:
            details["meta"] = payloads(meta)
        self.marker(details, **more)

    def timer(self, timer_id: str, wait: timedelta) -> None:
        attributes = self._add(EventType.EVENT_TYPE_TIMER_STARTED).timer_started_event_attributes
        attributes.timer_id = timer_id
        attributes.start_to_fire_timeout.FromTimedelta(wait)
        attributes.workflow_task_completed_event_id = 4
        started = len(self.events)
        self._add(EventType.EVENT_TYPE_TIMER_FIRED).timer_fired_event_attributes.started_event_id = started

    def rows(self) -> tuple[FoldState, Rows]:
        """The result of the fold, checked against the oracle on the same events."""
        decoded = decode(self.events, pydantic_data_converter.payload_converter)
        state, rows = folded(EXECUTION, [decoded])
        one_by_one = folded(EXECUTION, [[event] for event in decoded])[1]
        assert one_by_one.plain() == rows.plain()
        steps = [{"attempts": 0, **row, "event_id": key} for key, row in rows.steps.items()]
        assert oracle.step_differences(EXECUTION, self.events, steps) == []
        assert state.opaque == 0
        return state, rows


def failure(message: str, kind: str = "errorString") -> Failure:
    result = Failure(message=message, source="GoSDK")
    result.application_failure_info.type = kind
    return result


def wrapped(cause: Failure) -> Failure:
    wrapper = Failure(message="Local Activity task failed", source="JavaSDK")
    wrapper.activity_failure_info.activity_id = "a-1"
    wrapper.cause.CopyFrom(cause)
    return wrapper


def shape(rows: Rows) -> list[tuple[Any, ...]]:
    return [
        (row["kind"], row["name"], row["status"], row["attempts"], row["local"])
        for _, row in sorted(rows.steps.items())
    ]


def test_local_activities_of_the_go_sdk_are_steps() -> None:
    history = History()
    history.go("1", "Greet", result="hello", summary="Say hello")
    history.go("2", "Nothing")
    history.go("3", "Broken", attempt=2, failure=failure("no such thing"))
    stopped = Failure(message="canceled", source="GoSDK")
    stopped.canceled_failure_info.SetInParent()
    history.go("4", "Stopped", failure=stopped)
    _, rows = history.rows()
    assert shape(rows) == [
        ("activity", "Greet", "completed", 1, True),
        ("activity", "Nothing", "completed", 1, True),
        ("activity", "Broken", "failed", 2, True),
        ("activity", "Stopped", "cancelled", 1, True),
    ]
    greet, nothing, broken, _ = (row for _, row in sorted(rows.steps.items()))
    assert (greet["title"], greet["output"]["value"]) == ("Say hello", "hello")
    assert nothing["output"]["size"] == 0
    assert (broken["error"]["type"], broken["error"]["message"]) == ("errorString", "no such thing")


def test_a_go_local_activity_with_backoff_is_one_step_without_a_timer_step() -> None:
    history = History()
    history.go("1", "Flaky", attempt=3, backoff_ns=8_123_456_789, failure=failure("not yet"))
    history.timer("5", timedelta(microseconds=8_123_457))
    history.go("2", "Flaky", attempt=1, result="another call")
    history.go("3", "Flaky", attempt=4, result="at last")
    _, rows = history.rows()
    assert shape(rows) == [
        ("activity", "Flaky", "completed", 4, True),
        ("activity", "Flaky", "completed", 1, True),
    ]
    assert [row["output"]["value"] for _, row in sorted(rows.steps.items())] == ["at last", "another call"]


def test_local_activities_of_the_java_sdk_are_steps() -> None:
    history = History()
    first = int((BEGAN + timedelta(seconds=1)).timestamp() * 1000)
    meta = {"firstSkd": first, "atpt": 2}
    history.java("a-1", "Greet", meta, input=["you"], result=["hello"])
    history.java("a-2", "Nothing", {"firstSkd": first, "atpt": 1}, input=[])
    cause = Failure(message="no such thing", source="JavaSDK")
    cause.application_failure_info.type = "java.lang.IllegalStateException"
    history.java("a-3", "Broken", {"firstSkd": first, "atpt": 3}, failure=wrapped(cause))
    history.java("a-4", "Old", None, data=["from before the metadata"])
    _, rows = history.rows()
    assert shape(rows) == [
        ("activity", "Greet", "completed", 2, True),
        ("activity", "Nothing", "completed", 1, True),
        ("activity", "Broken", "failed", 3, True),
        ("activity", "Old", "completed", 1, True),
    ]
    greet, _, broken, old = (row for _, row in sorted(rows.steps.items()))
    assert (greet["input"]["value"], greet["output"]["value"]) == ("you", "hello")
    assert greet["scheduled_at"] == BEGAN + timedelta(seconds=1)
    assert (broken["error"]["type"], broken["error"]["message"]) == ("java.lang.IllegalStateException", "no such thing")
    assert old["output"]["value"] == "from before the metadata"


def test_a_java_local_activity_with_backoff_is_one_step_without_a_timer_step() -> None:
    history = History()
    first = int(BEGAN.timestamp() * 1000)
    meta = {"firstSkd": first, "atpt": 2, "backoff": 6_000}
    history.java("a-1", "Flaky", meta, failure=wrapped(failure("not yet")))
    state = history.rows()[0]
    assert next(iter(state.steps.values())).status == "scheduled"
    history.timer("t", timedelta(seconds=6))
    history.java("a-2", "Flaky", {"firstSkd": first, "atpt": 3}, result=["at last"])
    _, rows = history.rows()
    assert shape(rows) == [("activity", "Flaky", "completed", 3, True)]


def test_terms_in_the_failure_of_a_foreign_local_activity_open_no_approval() -> None:
    """R30: these SDKs have no plugin that would wait, so no approval opens."""
    history = History()
    approval_required = failure("needs an approval", "ApprovalRequired")
    terms = {"approval_id": "x", "kind": "tool", "title": "Pay", "namespace": "n", "workflow_id": "w"}
    terms |= {"execution_id": EXECUTION, "digest": "d", "approvers": ["role:approver"]}  # type: ignore[dict-item]
    approval_required.application_failure_info.details.CopyFrom(payloads(terms))
    history.go("1", "Pay", failure=approval_required)
    _, rows = history.rows()
    assert rows.approvals == {}
    assert shape(rows) == [("activity", "Pay", "failed", 1, True)]


def test_a_marker_of_the_same_name_from_another_sdk_is_counted_and_hides_no_events() -> None:
    history = History()
    history.marker({"data": payloads("something else")})
    history.go("1", "Greet", result="hello")
    decoded = decode(history.events, pydantic_data_converter.payload_converter)
    state, rows = folded(EXECUTION, [decoded])
    assert state.opaque == 1
    assert shape(rows) == [("activity", "Greet", "completed", 1, True)]
