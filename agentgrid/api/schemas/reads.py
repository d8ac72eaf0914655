"""The record of reads."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.reads import ReadOutcome


class ReadOut(Out):
    """Identical reads, refusals or unauthenticated requests (same principal, route and subject) within one minute."""

    read_id: str
    at: datetime = Field(description="The time of the first one.")
    last_at: datetime
    principal: str | None = Field(description="Null if there was no valid key.")
    key_id: str | None
    address: str | None
    route: str = Field(description="The route's path pattern.")
    subject: str | None = Field(
        description="The run, approval or command; null if there were too many within the minute to list separately."
    )
    outcome: ReadOutcome
    count: int
