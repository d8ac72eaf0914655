"""Shared by the readers of all events: payloads and failures in their stored form, and a count of undecodable payloads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.converter import PayloadConverter

from agentgrid.domain.approvals import Terms
from agentgrid.projector import history_events
from agentgrid.protocol import ErrorType, PolicyWait
from agentgrid.temporal import payloads
from agentgrid.temporal.payloads import Opaque

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(stamp: Timestamp) -> datetime:
    """The time as aware UTC, rounded down to the database's microseconds."""
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def seconds_of(duration: Duration) -> float:
    """The duration in seconds."""
    return float(duration.seconds) + duration.nanos / 1e9


class Reader:
    """Reads the events of one history, and counts each event's opaque payloads.

    whole: values are stored without truncation.
    """

    def __init__(self, converter: PayloadConverter, *, whole: bool = False) -> None:
        self.converter = converter
        self.opaque = 0
        self._whole = whole

    def stored(self, values: Sequence[Payload], *, limit: int = payloads.INLINE_BYTES) -> history_events.Stored:
        stored = payloads.store(values, self.converter, limit=sys.maxsize if self._whole else limit)
        self.opaque += payloads.is_opaque(stored)
        return stored

    def stored_value(self, value: Any, *, limit: int = payloads.INLINE_BYTES) -> history_events.Stored:
        return payloads.store_value(value, limit=sys.maxsize if self._whole else limit)

    def optional(self, message: Any, field: str) -> history_events.Stored | None:
        return self.stored(getattr(message, field).payloads) if message.HasField(field) else None

    def error(self, failure: Failure) -> history_events.Stored:
        return payloads.store_failure(failure, self.converter)

    def value(self, payload: Payload) -> Any:
        return payloads.value_of(payload, self.converter)

    def summary(self, event: HistoryEvent) -> str | None:
        if not event.HasField("user_metadata") or not event.user_metadata.HasField("summary"):
            return None
        value = self.value(event.user_metadata.summary)
        return value if isinstance(value, str) else None

    def terms(self, failure: Failure) -> Terms | None:
        """The terms in an `ApprovalRequired` failure, wrapped or not."""
        info = failure.application_failure_info
        if info.type != ErrorType.APPROVAL_REQUIRED or not info.details.payloads:
            return None
        return terms_of(self.value(info.details.payloads[0]))

    def policy_wait(self, failure: Failure) -> PolicyWait | None:
        """The wait in a `PolicyStale` failure, if it has one."""
        info = failure.application_failure_info
        if info.type != ErrorType.POLICY_STALE or not info.details.payloads:
            return None
        try:
            return PolicyWait.model_validate(self.value(info.details.payloads[0]))
        except ValidationError:
            return None


EventParts = tuple[Callable[..., history_events.DecodedEvent], dict[str, Any]]
"""A plain event's type and its values, without id, time and count of opaque payloads."""
EventReader = Callable[[Reader, HistoryEvent, Any], EventParts]


def word(name: str, prefix: str) -> str:
    """The short form of a proto enum's value name."""
    return name.removeprefix(prefix).lower()


def error_of(kind: str, message: str) -> history_events.Stored:
    """A stored error, for an end without a failure."""
    return {"type": kind, "message": message, "retryable": False}


def terms_of(value: Any) -> Terms | None:
    """The terms in a decoded payload, or None."""
    if isinstance(value, Opaque):
        return None
    try:
        return Terms.model_validate(value)
    except ValidationError:
        return None
