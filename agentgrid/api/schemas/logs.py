"""Log lines of workflows and tools."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from agentgrid.api.schemas.common import Out, Page
from agentgrid.domain.logs import LogLevel


class LogOut(Out):
    """One log line of a workflow or tool. Its text and fields are null unless the caller may read payloads, because they may quote payloads."""

    log_id: int
    logged_at: datetime
    execution_id: str
    activity_id: str | None
    step_event_id: int | None = Field(
        description="The step that wrote it; null for lines written by the workflow itself."
    )
    attempt: int | None
    level: LogLevel = Field(description="An unknown level is shown as `info`.")
    logger: str
    message: str | None
    fields: Any
    worker: str


class LogPage(Page[LogOut]):
    """Lines, oldest first."""

    more_before: bool = Field(
        description="Whether there are lines older than the first one returned; always false unless `tail` or `before` was given."
    )
    payloads_visible: bool
