"""The service: health, the caller, and the overview."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out
from agentgrid.domain.principals import Permission, PrincipalKind, Role


class Health(Out):
    """The process is alive."""

    status: Literal["ok"] = "ok"
    version: str


class Dependency(Out):
    """A dependency of the service."""

    name: Literal["database", "temporal", "projector"]
    ok: bool
    detail: str | None = None


class Freshness(Out):
    """How far the projection lags behind Temporal's history."""

    lag_seconds: float | None = Field(description="Null if no projector has reported yet.")
    updated_at: datetime | None
    stale: bool


class Readiness(Out):
    """Whether requests can be served. When `degraded`, reads are served from the projection and writes wait for Temporal."""

    status: Literal["ready", "degraded", "unavailable"]
    dependencies: list[Dependency]
    projection: Freshness | None


class MySession(Out):
    """The browser session that the request was made with."""

    session_id: str
    opened_at: datetime
    expires_at: datetime = Field(description="When it expires if it is not used again.")


class Installation(Out):
    """The installation that serves the request."""

    name: str = Field(description="`AGENTGRID_INSTALLATION`, or the host and port of its URL.")
    version: str
    namespace: str = Field(description="Temporal's namespace.")
    temporal_ui_url: str | None
    retention_seconds: float | None = Field(
        description="How long Temporal keeps the history of an ended run. Null until Temporal has reported it."
    )


class Me(Out):
    """The caller and the installation."""

    name: str
    kind: PrincipalKind
    roles: list[Role]
    groups: list[str]
    workflows: list[str] = Field(description="Globs of the workflows whose runs the caller may see.")
    permissions: list[Permission]
    key_id: str
    key_expires_at: datetime
    session: MySession | None = Field(description="Null for a request with an API key.")
    installation: Installation


class Count(Out):
    """A count and the path of its list."""

    count: int
    href: str
