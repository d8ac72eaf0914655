"""A logger for workflows and tools: its lines stand in the run's log, and replay writes none of them twice."""

from __future__ import annotations

import logging
from typing import Any

from temporalio import activity, workflow

FIELDS = "agentgrid_fields"
"""The attribute of a log record that holds the structured fields."""

_outside = logging.getLogger("agentgrid.run")


class RunLogger:
    """Past-tense events with fields: `ag.log.info("reply_posted", ticket=ticket.id)`."""

    def debug(self, event: str, **fields: Any) -> None:
        """Log for whoever debugs."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what should not have happened, but was dealt with."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log what went wrong."""
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if workflow.in_workflow():
            workflow.logger.log(level, event, extra={FIELDS: fields})
        elif activity.in_activity():
            activity.logger.log(level, event, extra={FIELDS: fields})
        else:
            _outside.log(level, event, extra={FIELDS: fields})


log = RunLogger()
