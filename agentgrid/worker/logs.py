"""The log lines of runs, taken from Python's logging so that nobody else sees a difference.

Temporal's loggers are read by a filter, which lets through exactly what would have passed without it. A handler would not do: with one that
somebody added, Python no longer writes what nobody handles to standard error, and `logging.basicConfig` does nothing. To hear the informative
lines of workflows and activities their loggers' levels are lowered for as long as a worker runs; what is heard only for that is let through
to nobody else.

Lines of other loggers, written inside an activity, are read by a handler on the root logger, and only beside another: in a process that
hadn't configured logging when its worker started they are not taken.
"""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import Any, Protocol

from temporalio import activity

from agentgrid.sdk.log import FIELDS

LOWERED = ("temporalio.workflow", "temporalio.activity")
"""The loggers of what workflows and activities say, `ag.log` included."""
FAILED_TASKS = "temporalio.worker._workflow_instance"
"""Temporal's own logger of workflow tasks that fail."""
LOGGERS = (*LOWERED, FAILED_TASKS)

MAX_MESSAGE = 8_192
MAX_FIELDS = 8_192


class Sink(Protocol):
    """A worker that takes the lines of its queue's runs."""

    namespace: str
    worker: str
    task_queue: str | None
    dropped: int

    def line(self, entry: dict[str, Any]) -> None:
        """Take one line."""


_sinks: list[Sink] = []
"""The workers of this process. Filters and handler are there as long as there is one."""
_lock = threading.Lock()


def attach(sink: Sink) -> None:
    """Give the lines of the worker's runs to it from now on."""
    with _lock:
        if not _sinks:
            for tap in _taps:
                tap.install()
        if logging.getLogger().handlers:
            logging.getLogger().addHandler(_handler)  # again where it is there already: that does nothing
        _sinks.append(sink)


def detach(sink: Sink) -> None:
    """No more to this one; after the last of the process all is as it was before."""
    with _lock:
        if sink not in _sinks:
            return
        _sinks.remove(sink)
        if not _sinks:
            logging.getLogger().removeHandler(_handler)
            for tap in _taps:
                tap.remove()


class _Tap(logging.Filter):
    """Reads what one logger is told, and lets through what would have passed without it."""

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
        """Whether the level is the one set here, and nobody has set another since."""
        return self._lowered and self._logger.level == logging.INFO

    def filter(self, record: logging.LogRecord) -> bool:
        _take(record)
        parent = self._logger.parent
        return not self._still_lowered or parent is None or record.levelno >= parent.getEffectiveLevel()


class _Handler(logging.Handler):
    """Reads the lines that other loggers pass up, where they were written inside an activity."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in LOGGERS:
            _take(record)


_taps = [_Tap(name) for name in LOGGERS]
_handler = _Handler(logging.INFO)


def _take(record: logging.LogRecord) -> None:
    if record.levelno < logging.INFO:
        return
    sink: Sink | None = None
    # A log line must never break what it tells of.
    try:
        if (place := _place(record)) is None:
            return
        namespace, queue, context = place
        for sink in tuple(_sinks):
            if sink.namespace == namespace and sink.task_queue in (None, queue):
                sink.line({**context, **_line(record), "worker": sink.worker})
                return
    except Exception:
        if sink is not None:
            sink.dropped += 1


def _place(record: logging.LogRecord) -> tuple[str, str, dict[str, Any]] | None:
    """The namespace, the queue and the run that a line belongs to: by Temporal's own context, or the activity it was written in."""
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
    text = json.dumps(fields, default=str)
    return {
        "logged_at": datetime.fromtimestamp(record.created, UTC),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record)[:MAX_MESSAGE],
        "fields": fields
        if fields and len(text) <= MAX_FIELDS
        else ({"truncated": text[:MAX_FIELDS]} if fields else None),
    }


def _message(record: logging.LogRecord) -> str:
    # Temporal's adapters append their context to the message; the run's log shows it beside.
    message = record.getMessage()
    for attribute in ("temporal_workflow", "temporal_activity"):
        context = getattr(record, attribute, None)
        if context is not None:
            message = message.removesuffix(f" ({context})")
    return message
