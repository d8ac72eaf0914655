"""What a search over everything found."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from agentgrid.api.schemas.common import Out


class HitKind(StrEnum):
    """What was found."""

    RUN = "run"
    APPROVAL = "approval"
    WORKFLOW = "workflow"
    TOOL = "tool"
    AGENT = "agent"
    PRINCIPAL = "principal"


class Hit(Out):
    """One thing that was found."""

    kind: HitKind
    id: str = Field(description="The run's or approval's id, or the name.")
    title: str = Field(description="Of a run, its workflow's title.")
    detail: str | None = Field(
        description="A run's reference, an approval's workflow, a tool's risk, a principal's kind."
    )
    subject: str | None = Field(description="Of a run; null unless the caller may read payloads.")
    status: str | None = Field(description="Of a run or an approval.")
    href: str


class Hits(Out):
    """What was found, kind by kind."""

    items: list[Hit] = Field(
        description="Of each kind at most `limit`: the newest runs and approvals, the others by name."
    )
