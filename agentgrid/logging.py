"""structlog for every process: past-tense event names with fields; readable on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
import traceback
from collections import OrderedDict
from typing import Any, Protocol

import structlog

from agentgrid.domain.secrets import known
from agentgrid.sdk.places import reworded

KEPT_TRACEBACKS = 200


class LogSettings(Protocol):
    """The part of `Settings` that logging needs; the two modules are siblings and don't import each other."""

    @property
    def log_format(self) -> str:
        """`console` or `json`."""

    @property
    def log_level(self) -> str:
        """`debug`, `info`, `warning` or `error`."""


class _Logger:
    """structlog's current logger."""

    def __getattr__(self, name: str) -> Any:
        if structlog.is_configured():
            return getattr(structlog.get_logger(), name)
        logger = structlog.wrap_logger(structlog.WriteLogger(sys.stderr), processors=terminal_processors())
        return getattr(logger, name)


class _StandardError(logging.Handler):
    """Looks up `sys.stderr` for each line, because test runners replace and close it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{known.text(self.format(record))}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _EachTracebackOnce(logging.Filter):
    """Omits repeated tracebacks: Temporal logs one per attempt, and retries a failing workflow task indefinitely."""

    def __init__(self) -> None:
        super().__init__()
        self._written: OrderedDict[str, None] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("temporalio.") or not record.exc_info or record.exc_info[1] is None:
            return True
        error = record.exc_info[1]
        if error.args and isinstance(error.args[0], str) and (plain := reworded(error.args[0])) != error.args[0]:
            error.args = (plain, *error.args[1:])
        text = "".join(traceback.format_exception(error))
        if text not in self._written:
            self._written[text] = None
            if len(self._written) > KEPT_TRACEBACKS:
                self._written.popitem(last=False)
            return True
        self._written.move_to_end(text)
        record.msg = f"{record.getMessage()}: {type(error).__name__}: {error} (traceback logged earlier)"
        record.args, record.exc_info, record.exc_text = None, None, None
        return True


def terminal_processors() -> list[structlog.types.Processor]:
    """structlog's defaults for a terminal, with plain tracebacks."""
    return [*_shared(), _terminal_renderer(), lambda _logger, _method, text: known.text(str(text))]


def _shared() -> list[structlog.types.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _terminal_renderer() -> structlog.types.Processor:
    """If `rich` is installed, structlog's default prints every frame's local variables: it leaks payloads and passwords, and takes seconds."""
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def get_logger() -> Any:
    """A logger for code that runs in a user's process: follows the user's structlog configuration, or else writes to standard error.

    structlog's default is standard output, which the process may need for its own output.
    """
    return _Logger()


def worth_a_line(failures: int) -> bool:
    """Whether to log the nth failure in a row: the first, the tenth and every hundredth."""
    return failures in (1, 10) or failures % 100 == 0


def configure(settings: LogSettings) -> None:
    """Send structlog's and the standard library's records to standard error in one format."""
    level = getattr(logging, settings.log_level.upper())
    shared = _shared()
    renderer: structlog.types.Processor
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = _terminal_renderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_EachTracebackOnce())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpx2", "httpcore", "alembic", "watchfiles", "uvicorn.access", "sse_starlette"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
