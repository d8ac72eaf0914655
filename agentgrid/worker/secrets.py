"""Keeps secret values inside the worker: in results, failures, heartbeats and log records they are replaced by `<secret NAME>`.

This is the second line of defence; the first is that only tools can read a value. It recognises values that this process has read, of at
least 8 characters, whole, in the forms of `domain.secrets.forms`. It costs nothing until a value is read. Exceptions that contain a value are
rebuilt from what Temporal would store of them, because their own text can't be changed reliably.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from pydantic import ValidationError
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, CancelledError, FailureError
from temporalio.worker import ActivityOutboundInterceptor

from agentgrid.domain.secrets import known, texts_of
from agentgrid.errors import SecretMissing, SettingsError, ToolError
from agentgrid.logging import get_logger
from agentgrid.sdk.log import FIELDS
from agentgrid.sdk.schema import message_of
from agentgrid.sdk.secrets import SecretStore

log = get_logger()

MAX_CAUSES = 50
"""Further causes of an error are dropped."""
MAX_REASON = 1_000
"""How much of a converter's error is shown, in characters."""
UNTOUCHED = (activity._CompleteAsyncError, BrokenExecutor, KeyboardInterrupt, SystemExit, GeneratorExit)
"""Control flow: contains no text from a tool."""


class Redacting(ActivityOutboundInterceptor):
    """One attempt's outbound interceptor. Redacts its heartbeats, and for the activity half its result and its error."""

    def __init__(self, next: ActivityOutboundInterceptor) -> None:
        super().__init__(next)
        self._reported: set[tuple[str, str]] = set()

    def heartbeat(self, *details: Any) -> None:
        """Send the details, redacted."""
        super().heartbeat(*(self.redacted(detail, "heartbeat") for detail in details) if known.active else details)

    def redacted(self, value: Any, where: str) -> Any:
        """The value itself, or its JSON with secret values replaced. Raises the converter's errors unredacted."""
        payload = _payload(value) if known.active else None
        if payload is None or not (names := known.names_in(payload.data)):
            return value
        self._report(names, where)
        return _redacted_payload(payload)

    def error(self, error: BaseException) -> BaseException:
        """The error itself, or a replacement to raise."""
        safe = safe_error(error)
        if safe is not error:
            self._report(_names_in(error), "error")
        return safe

    def _report(self, names: set[str], where: str) -> None:
        for name in sorted(names):
            if (name, where) not in self._reported:
                self._reported.add((name, where))
                activity.logger.warning("secret_redacted", extra={FIELDS: {"secret": name, "found_in": where}})


def safe_error(error: BaseException) -> BaseException:
    """The error itself, or one without secret values: the same type to Temporal, with the same traceback and causes."""
    if not known.active or isinstance(error, UNTOUCHED) or not _names_in(error):
        return error
    return _rebuilt(error, set())


def _names_in(error: BaseException) -> set[str]:
    return {name for error in _chain(error) for text in _texts(error) for name in known.names_in(text)}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and all errors that a traceback or Temporal shows with it."""
    pending, seen = [error], set[int]()
    while pending and len(seen) < MAX_CAUSES:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [
            other
            for other in (_cause(current), *getattr(current, "exceptions", ()))
            if isinstance(other, BaseException)
        ]


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _texts(error: BaseException) -> Iterator[str | bytes]:
    """Everything about one error that may be shown or stored."""
    yield from texts_of(error)
    yield from map(str, getattr(error, "__notes__", ()))
    yield from (text for argument in error.args for text in texts_of(argument))
    if isinstance(error, ValidationError):
        # Pydantic truncates long inputs in the error's text.
        yield from (str(fault["input"]) for fault in error.errors(include_url=False))
    if isinstance(error, FailureError):
        yield str(getattr(error, "type", None) or "")
        yield from (text for detail in _details(error) for text in _stored_texts(detail))
        if error.failure is not None:
            yield error.failure.SerializeToString()


def _details(error: BaseException) -> Sequence[Any]:
    return error.details if isinstance(error, (ApplicationError, CancelledError)) else ()


def _stored_texts(detail: Any) -> Iterator[str | bytes]:
    """What Temporal would store of one detail: its payload, or if that can't be stored, the text of the converter's error."""
    try:
        payload = _payload(detail)
    except Exception as failure:
        yield from texts_of(failure)
    else:
        if payload is not None:
            yield payload.data


def _rebuilt(error: BaseException, seen: set[int]) -> BaseException:
    if isinstance(error, UNTOUCHED):
        return error
    seen.add(id(error))
    safe = _equivalent(error, known.text(_message(error)))
    cause = _cause(error)
    if cause is not None and id(cause) not in seen and len(seen) < MAX_CAUSES:
        safe.__cause__ = _rebuilt(cause, seen)
    safe.__suppress_context__ = True
    return safe.with_traceback(error.__traceback__)


def _message(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return message_of(error)
    if isinstance(error, (FailureError, ToolError)):
        return error.message
    return next(texts_of(error), type(error).__name__)


def _equivalent(error: BaseException, message: str) -> BaseException:
    """An error that the gate, Temporal and retry policies treat like this one."""
    details = [_redacted_detail(detail) for detail in _details(error)]
    if isinstance(error, ToolError):
        return ToolError(message, retryable=error.retryable)
    if isinstance(error, ApplicationError):
        return ApplicationError(
            message,
            *details,
            type=None if error.type is None else known.text(error.type),
            non_retryable=error.non_retryable,
            next_retry_delay=error.next_retry_delay,
            category=error.category,
        )
    if isinstance(error, CancelledError):
        return CancelledError(message, *details)
    if isinstance(error, asyncio.CancelledError):
        return asyncio.CancelledError(message)
    return ApplicationError(message, type=type(error).__name__)


def _payload(value: Any) -> Payload | None:
    """The payload that Temporal would store; None if it contains no text, or outside an activity, where nothing is stored.

    Raises the converter's errors, which may quote the value, so callers must redact them.
    """
    if isinstance(value, RawValue):
        return value.payload
    if value is None or isinstance(value, (bool, int, float)) or not activity.in_activity():
        return None
    return activity.payload_converter().to_payloads([value])[0]


def _redacted_detail(detail: Any) -> Any:
    try:
        payload = _payload(detail)
    except Exception as failure:
        # Temporal would replace the whole error with the converter's.
        why = known.beginning(f"{type(failure).__name__}: {_message(failure)}", MAX_REASON)
        log.warning("error_detail_not_stored", detail=type(detail).__name__, why=why)
        return f"a {type(detail).__name__} that can't be stored: {why}"
    return known.shown(detail) if payload is None else _redacted_payload(payload)


def _redacted_payload(payload: Payload) -> RawValue:
    return RawValue(Payload(metadata=payload.metadata, data=known.data(payload.data)))


# --- log records -------------------------------------------------------------------------------------------------

_lock = threading.Lock()
_workers = 0
_previous: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()


def guard_logs() -> None:
    """Redact all log records of this process from now on, until `unguard_logs` has been called the same number of times."""
    global _workers, _previous  # Python's logging has one record factory for the process
    with _lock:
        _workers += 1
        if _workers == 1:
            _previous = logging.getLogRecordFactory()
            logging.setLogRecordFactory(_record)


def unguard_logs() -> None:
    """Undo one `guard_logs`."""
    global _workers
    with _lock:
        _workers -= 1
        if _workers == 0 and logging.getLogRecordFactory() is _record:
            logging.setLogRecordFactory(_previous)


def _record(*args: Any, **options: Any) -> logging.LogRecord:
    record = _previous(*args, **options)
    if known.active:
        _redact_record(record)
    return record


def _redact_record(record: logging.LogRecord) -> None:
    if isinstance(record.msg, str) or record.args:
        try:
            text = record.getMessage()
        except Exception:
            # Python's logging would write message and arguments to standard error.
            text = f"{record.msg} {record.args!r}"
        if (shown := known.text(text)) != text:
            record.msg, record.args = shown, ()
    elif type(record.msg) is dict and "exc_info" in record.msg:  # structlog's, which its formatter renders
        rest = {key: value for key, value in record.msg.items() if key != "exc_info"}
        record.msg = {**known.shown(rest), "exc_info": _safe_exc_info(record.msg["exc_info"])}
    else:
        record.msg = known.shown(record.msg)
    record.exc_info = _safe_exc_info(record.exc_info)


def _safe_exc_info(exc_info: Any) -> Any:
    if isinstance(exc_info, BaseException):
        return safe_error(exc_info)
    if isinstance(exc_info, tuple) and isinstance(exc_info[1], BaseException):
        safe = safe_error(exc_info[1])
        return (type(safe), safe, exc_info[2])
    if exc_info is True and (now := sys.exc_info()[1]) is not None:
        return safe_error(now)
    return exc_info


# --- at the start ------------------------------------------------------------------------------------------------


async def check_secrets(store: SecretStore, names: Sequence[str], *, required: bool) -> None:
    """Log which of the grid's secrets are missing here. Raises SettingsError if they are required."""
    missing: list[str] = []
    reasons: list[str] = []
    for name, value in zip(names, await asyncio.gather(*map(store.find, names), return_exceptions=True), strict=True):
        if isinstance(value, BaseException):
            missing.append(name)
            reasons.append(str(value))
        elif value is None:
            missing.append(name)
            reasons.append(SecretMissing(name, [provider.where(name) for provider in store.providers]).message)
    if missing and required:
        raise SettingsError(
            f"{'; '.join(reasons)}. Provide them, or start without them: AGENTGRID_SECRETS_REQUIRED=false"
        )
    if missing:
        log.warning("secrets_missing", names=missing, hint="tools that read them fail; " + "; ".join(reasons))
