"""The caller and the installation: what a client needs to know first."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from urllib.parse import urlsplit

import temporalio.api.workflowservice.v1 as service

from agentgrid.api.identity import Identity
from agentgrid.api.schemas.service import Installation, Me, MySession
from agentgrid.control.plane import ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal
from agentgrid.errors import AgentGridError

VERSION = version("agentgrid")
REFRESH_SECONDS = 600.0
RETRY_SECONDS = 15.0
"""Delay after Temporal could not be reached."""


class Facts:
    """Facts about the installation. Temporal's retention is fetched in the background, so no request waits for it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._retention_seconds: float | None = None

    async def run(self) -> None:
        """Refresh the retention until cancelled."""
        while True:
            refreshed = await self._ask()
            await asyncio.sleep(REFRESH_SECONDS if refreshed else RETRY_SECONDS)

    async def _ask(self) -> bool:
        namespace = self._plane.settings.temporal_namespace
        request = service.DescribeNamespaceRequest(namespace=namespace)
        try:
            namespace_info = await call_temporal(
                self._plane.temporal.workflow_service.describe_namespace(request, timeout=DEADLINE),
                noun="namespace",
                identifier=namespace,
            )
        except AgentGridError:
            return False
        retention = namespace_info.config.workflow_execution_retention_ttl
        self._retention_seconds = float(retention.ToTimedelta().total_seconds()) or None
        return True

    def out(self) -> Installation:
        """The facts as a response."""
        settings = self._plane.settings
        return Installation(
            name=settings.installation or urlsplit(settings.api_url).netloc,
            version=VERSION,
            namespace=settings.temporal_namespace,
            temporal_ui_url=settings.temporal_ui_url,
            retention_seconds=self._retention_seconds,
        )


def me_of(identity: Identity, facts: Facts) -> Me:
    """The caller, its session if any, and the installation."""
    principal, session = identity.principal, identity.session
    return Me(
        name=principal.name,
        kind=principal.kind,
        roles=sorted(principal.roles),
        groups=sorted(principal.groups),
        workflows=sorted(principal.workflows),
        permissions=sorted(principal.permissions),
        key_id=identity.key_id,
        key_expires_at=identity.key_expires_at,
        session=None
        if session is None
        else MySession(session_id=session.session_id, opened_at=session.opened_at, expires_at=session.expires_at),
        installation=facts.out(),
    )
