"""Captures log lines of runs from Python's logging without changing what it outputs.

A filter reads Temporal's loggers and passes exactly the lines that would have passed without it. A handler would change behaviour: once any
handler exists, Python stops writing unhandled lines to standard error, and `logging.basicConfig` does nothing. To capture INFO lines, the
levels of the workflow and activity loggers are lowered while a worker runs; lines that pass only because of that are not output.

A handler on the root logger captures what other loggers write inside an activity. It is added only if the root logger already has one, so a
process that hadn't configured logging when its worker started doesn't capture these lines.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Any, Protocol

from temporalio import activity

from agentgrid.domain.secrets import known
from agentgrid.sdk.log import FIELDS

LOWERED = ("temporalio.workflow", "temporalio.activity")
"""The loggers of workflows and activities, including `ag.log`."""
FAILED_TASKS = "temporalio.worker._workflow_instance"
"""Temporal's logger for failed workflow tasks."""
LOGGERS = (*LOWERED, FAILED_TASKS)

MAX_MESSAGE = 8_192
MAX_FIELDS = 8_192


class Sink(Protocol):
    """A worker that captures the log lines of its queue's runs."""

    namespace: str
    worker: str
    task_queue: str | None
    dropped: int

    def line(self, entry: dict[str, Any]) -> None:
        """Capture one line."""


_sinks: list[Sink] = []
"""The workers of this process. Filters and handler are installed while there is at least one."""
_lock = threading.Lock()


def attach(sink: Sink) -> None:
    """Start capturing the lines of the worker's runs."""
    with _lock:
        if not _sinks:
            for tap in _taps:
                tap.install()
        if logging.getLogger().handlers:
            logging.getLogger().addHandler(_handler)  # no-op if already installed
        _sinks.append(sink)


def detach(sink: Sink) -> None:
    """Stop capturing for this worker; restore logging after the last one."""
    with _lock:
        if sink not in _sinks:
            return
        _sinks.remove(sink)
        if not _sinks:
            logging.getLogger().removeHandler(_handler)
            for tap in _taps:
                tap.remove()


class _Tap(logging.Filter):
    """A filter that captures one logger's lines and passes those that would have passed without it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._logger = logging.getLogger(name)
        self._lowered = False

    def install(self) -> None:
        logger = self._logger
        silent = logger.level == logging.NOTSET and not logger.isEnabledFor(logging.INFO)
        self._lowered = silent and logger.name in LOWERED
        if self._lowered:
            logger.setLevel(logging.INFO)
        logger.addFilter(self)

    def remove(self) -> None:
        self._logger.removeFilter(self)
        if self._still_lowered:
            self._logger.setLevel(logging.NOTSET)
        self._lowered = False

    @property
    def _still_lowered(self) -> bool:
        """Whether the logger still has the level set here."""
        return self._lowered and self._logger.level == logging.INFO

    def filter(self, record: logging.LogRecord) -> bool:
        _capture(record)
        parent = self._logger.parent
        return not self._still_lowered or parent is None or record.levelno >= parent.getEffectiveLevel()


class _Handler(logging.Handler):
    """Captures lines that other loggers propagate, if they were written inside an activity."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in LOGGERS:
            _capture(record)


_taps = [_Tap(name) for name in LOGGERS]
_handler = _Handler(logging.INFO)


def _capture(record: logging.LogRecord) -> None:
    if record.levelno < logging.INFO:
        return
    sink: Sink | None = None
    # A failure here must never break the code that logs.
    try:
        if (place := _origin(record)) is None:
            return
        namespace, queue, context = place
        for sink in tuple(_sinks):
            if sink.namespace == namespace and sink.task_queue in (None, queue):
                sink.line({**context, **_line(record), "worker": sink.worker})
                return
    except Exception:
        if sink is not None:
            sink.dropped += 1


def _origin(record: logging.LogRecord) -> tuple[str, str, dict[str, Any]] | None:
    """A line's namespace, task queue and run, from Temporal's log context or the activity that wrote it."""
    workflow = getattr(record, "temporal_workflow", None)
    if workflow is not None:
        queue = workflow["task_queue"]
        run = {"execution_id": workflow["run_id"], "workflow_id": workflow["workflow_id"], "task_queue": queue}
        return workflow["namespace"], queue, run | {"activity_id": None, "attempt": None}
    if not activity.in_activity():
        return None
    info = activity.info()
    if info.workflow_run_id is None:
        return None
    run = {"execution_id": info.workflow_run_id, "workflow_id": info.workflow_id, "task_queue": info.task_queue}
    return info.namespace, info.task_queue, run | {"activity_id": info.activity_id, "attempt": info.attempt}


def _line(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, FIELDS, None) or {}
    if record.exc_info and record.exc_info[1] is not None:
        fields = {**fields, "error": f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"}
    fields = known.shown(fields)
    text = json.dumps(fields, default=str)
    return {
        "logged_at": datetime.fromtimestamp(record.created, UTC),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": known.text(_message(record))[:MAX_MESSAGE],
        "fields": fields
        if fields and len(text) <= MAX_FIELDS
        else ({"truncated": text[:MAX_FIELDS]} if fields else None),
    }


def _message(record: logging.LogRecord) -> str:
    # Temporal's adapters append their context to the message. The run's log stores it separately.
    message = record.getMessage()
    for attribute in ("temporal_workflow", "temporal_activity"):
        context = getattr(record, attribute, None)
        if context is not None:
            message = message.removesuffix(f" ({context})")
    return message
