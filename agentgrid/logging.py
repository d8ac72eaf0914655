"""structlog for every process: past-tense events with fields, readable on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

import structlog


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
        return getattr(structlog.wrap_logger(structlog.PrintLogger(sys.stderr)), name)


def get_logger() -> Any:
    """A logger for code that runs in a user's process: follows the user's structlog configuration, or else writes to standard error.

    structlog's default is standard output, which the process may need for its own output.
    """
    return _Logger()


def configure(settings: LogSettings) -> None:
    """Send structlog's and the standard library's records to standard error in one format."""
    level = getattr(logging, settings.log_level.upper())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "alembic", "watchfiles", "uvicorn.access", "sse_starlette"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
