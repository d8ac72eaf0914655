"""Log lines of workflows and tools."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from agentgrid.api.schemas.common import Out, Page
from agentgrid.domain.logs import LogLevel


class LogOut(Out):
    """One line that a workflow or a tool wrote. Its text and fields are null unless the caller may read payloads, which they may quote."""

    log_id: int
    logged_at: datetime
    execution_id: str
    activity_id: str | None
    step_event_id: int | None = Field(description="The step that wrote it; null for the workflow's own lines.")
    attempt: int | None
    level: LogLevel = Field(description="A level that is none of these is shown as `info`.")
    logger: str
    message: str | None
    fields: Any
    worker: str


class LogPage(Page[LogOut]):
    """Lines, oldest first."""

    more_before: bool = Field(
        description="Whether there are older lines than the first one here; false unless `tail` or `before` was given."
    )
    payloads_visible: bool
