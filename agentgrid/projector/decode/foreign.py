"""Local activities as the Go and Java SDKs record them: the same marker name, but almost entirely different details.

Go (`internal/internal_event_handlers.go`): `data` is its `localActivityMarkerData` as JSON, with `Backoff` in nanoseconds; `result` is the result.
Java (`LocalActivityMarkerUtils`, `LocalActivityMarkerMetadata`): `activityId`, `type`, `time`, `input`, `result` (before 2020 `data`) and, since 1.18,
`meta` with `firstSkd` (milliseconds since 1970), `atpt` and `backoff` (milliseconds). Both keep a failure in the marker; Java wraps it in an
activity failure.

Terms in such a failure don't open an approval, because these SDKs have no plugin that would wait for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.history.v1 import HistoryEvent

from agentgrid.projector import history_events
from agentgrid.projector.decode.reader import EventParts, Reader

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local_activity(reader: Reader, event: HistoryEvent, a: Any) -> EventParts:
    """Decode a local activity's marker from either SDK. Raises if it is from neither."""
    values = _java(reader, a) if "activityId" in a.details else _go(reader, a)
    values["title"] = reader.summary(event)
    if a.HasField("failure"):
        failure = a.failure
        if failure.WhichOneof("failure_info") == "activity_failure_info" and failure.HasField("cause"):
            failure = failure.cause
        values["error"] = reader.error(failure)
        values["cancelled"] = failure.WhichOneof("failure_info") == "canceled_failure_info"
        values["backs_off"] = values["backoff_seconds"] > 0
    else:
        values["output"] = reader.stored(_payloads(a, values.pop("result_key")))
    values.pop("result_key", None)
    return history_events.LocalActivity, values


def _go(reader: Reader, a: Any) -> dict[str, Any]:
    data = _value(reader, a, "data")
    return {
        "activity_id": str(data["ActivityID"]),
        "activity_type": str(data["ActivityType"]),
        "attempt": max(int(data.get("Attempt") or 0), 1),
        "backoff_seconds": (data.get("Backoff") or 0) / 1e9,
        "result_key": "result",
    }


def _java(reader: Reader, a: Any) -> dict[str, Any]:
    meta = _value(reader, a, "meta") if "meta" in a.details else {}
    first = meta.get("firstSkd") or 0
    values = {
        "activity_id": str(_value(reader, a, "activityId")),
        "activity_type": str(_value(reader, a, "type")),
        "attempt": max(int(meta.get("atpt") or 0), 1),
        "first_scheduled_at": _EPOCH + timedelta(milliseconds=first) if first > 0 else None,
        "backoff_seconds": (meta.get("backoff") or 0) / 1e3,
        "result_key": "result" if "result" in a.details else "data",
    }
    if "input" in a.details:
        values["input"] = reader.stored(_payloads(a, "input"))
    return values


def _payloads(a: Any, key: str) -> list[Any]:
    return list(a.details[key].payloads) if key in a.details else []


def _value(reader: Reader, a: Any, key: str) -> Any:
    (payload,) = _payloads(a, key)
    return reader.value(payload)
