"""A logger for workflows and tools. Its lines appear in the run's log, and replays don't repeat them."""

from __future__ import annotations

import logging
from typing import Any

from temporalio import activity, workflow

from agentgrid.domain.secrets import known

FIELDS = "agentgrid_fields"
"""The attribute of a log record that holds the structured fields."""

_outside = logging.getLogger("agentgrid.run")


class RunLogger:
    """Logs events with fields. Name events in the past tense: `ag.log.info("reply_posted", ticket=ticket.id)`."""

    def debug(self, event: str, **fields: Any) -> None:
        """Log details for debugging."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log an event."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log an unexpected but handled event."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log a failure."""
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        fields = known.shown(fields)  # handlers may write the fields; the event's text is redacted with the record
        if workflow.in_workflow():
            workflow.logger.log(level, event, extra={FIELDS: fields})
        elif activity.in_activity():
            activity.logger.log(level, event, extra={FIELDS: fields})
        else:
            _outside.log(level, event, extra={FIELDS: fields})


log = RunLogger()
