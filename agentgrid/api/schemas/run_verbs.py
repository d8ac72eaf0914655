"""Request bodies of the verbs on runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from agentgrid.api.schemas.common import MAX_TEXT, In, Prose


class RunReason(In):
    """The reason, stored in the audit log and passed to Temporal."""

    reason: Prose | None = None


class RunInterrupt(RunReason):
    """The reason, and a message for the agent."""

    message: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)] | None = Field(
        None, description="The agent receives it after resume, as a user message. At most 5,000 bytes as JSON."
    )
