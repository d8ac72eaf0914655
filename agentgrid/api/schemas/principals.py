"""Principals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from agentgrid.api.schemas.common import In, Name, Out, Prose
from agentgrid.domain.principals import Permission, PrincipalKind, Role


class PrincipalIn(In):
    """Create a principal, or replace its roles and groups: omitted ones are removed. If `workflows` is omitted, its scope is unchanged."""

    kind: Literal["human", "service", "agent"] | None = Field(
        None, description="Required for a new principal; can't be changed later."
    )
    roles: Annotated[list[Role], Field(max_length=20)]
    groups: Annotated[list[Name], Field(max_length=100)] = []
    workflows: Annotated[list[Name], Field(max_length=100)] | None = Field(
        None,
        description="Globs (`*`, `?`) of the workflows whose runs it may see. Default for a new principal: `*`.",
    )
    reason: Prose = ""


def _known(roles: Any) -> Any:
    return [role for role in roles if role in set(Role)]


class PrincipalSummary(Out):
    """A principal in a list."""

    name: str
    kind: PrincipalKind
    roles: Annotated[list[Role], BeforeValidator(_known)] = Field(
        description="Roles introduced by later versions are omitted."
    )
    groups: list[str]
    workflows: list[str] = Field(description="Globs of the workflows whose runs it may see.")
    disabled: bool
    disabled_at: datetime | None
    created_at: datetime


class PrincipalDetail(PrincipalSummary):
    """A principal with its permissions."""

    permissions: list[Permission] = Field(
        description="The permissions granted by its roles; empty while it is disabled."
    )
