"""Search results."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from agentgrid.api.schemas.common import Out


class HitKind(StrEnum):
    """The kind of a search result."""

    RUN = "run"
    APPROVAL = "approval"
    WORKFLOW = "workflow"
    TOOL = "tool"
    AGENT = "agent"
    PRINCIPAL = "principal"


class Hit(Out):
    """One search result."""

    kind: HitKind
    id: str = Field(description="The id of a run or approval; otherwise the name.")
    title: str = Field(description="For a run, its workflow's title.")
    detail: str | None = Field(
        description="A run's reference, an approval's workflow, a tool's risk or a principal's kind."
    )
    subject: str | None = Field(description="Only for a run; null unless the caller may read payloads.")
    status: str | None = Field(description="Only for a run or an approval.")
    href: str


class Hits(Out):
    """Search results, grouped by kind."""

    items: list[Hit] = Field(
        description="At most `limit` of each kind: the newest runs and approvals, all others by name."
    )
