"""The record of reading."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.reads import ReadOutcome


class ReadOut(Out):
    """What one principal read, or was refused, by one way within a minute; or what came without a key that holds."""

    read_id: str
    at: datetime = Field(description="The first of them.")
    last_at: datetime
    principal: str | None = Field(description="Null where there was no key, or none that holds.")
    key_id: str | None
    address: str | None
    route: str = Field(description="The route's pattern.")
    subject: str | None = Field(
        description="The run, approval or command; null where there were too many within the minute to tell them apart."
    )
    outcome: ReadOutcome
    count: int
