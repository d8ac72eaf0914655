"""The service: health, metrics, the caller and the overview."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

import temporalio.api.workflowservice.v1 as service
from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import freshness, metrics
from agentgrid.api.access import V1
from agentgrid.api.approval_filter import inbox
from agentgrid.api.deps import CallerView, CurrentCaller, CurrentIdentity, Plane, Session
from agentgrid.api.errors import QUERY_FAULTS
from agentgrid.api.me import VERSION, me_of
from agentgrid.api.overview import overview_of
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.overview import Overview
from agentgrid.api.schemas.service import Dependency, Freshness, Health, Me, Readiness
from agentgrid.control.plane import ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal
from agentgrid.db import approvals, attribution, commands, logins, runs
from agentgrid.db.session import reading
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import AgentGridError

router = make_router(tags=["service"])

DAY = timedelta(days=1)
PROBE_SECONDS = 3.0


@router.get("/healthz", summary="Liveness")
async def healthz() -> Health:
    """Does not check dependencies."""
    return Health(version=VERSION)


@router.get("/readyz", summary="Readiness, and the state of each dependency", responses={503: {"model": Readiness}})
async def readyz(request: Request, response: Response) -> Readiness:
    """`200` even when degraded: reads work and starts are accepted. `503` if the database is unreachable."""
    plane: ControlPlane = request.app.state.plane
    (database, projection), temporal = await asyncio.gather(_database(plane), _temporal(plane))
    dependencies = [database, temporal]
    if projection is not None:
        detail = "is behind or not reporting" if projection.stale else None
        dependencies.append(Dependency(name="projector", ok=not projection.stale, detail=detail))
    if not database.ok:
        response.status_code = 503
        return Readiness(status="unavailable", dependencies=dependencies, projection=projection)
    ready = all(dependency.ok for dependency in dependencies)
    return Readiness(status="ready" if ready else "degraded", dependencies=dependencies, projection=projection)


async def _database(plane: ControlPlane) -> tuple[Dependency, Freshness | None]:
    try:
        async with asyncio.timeout(PROBE_SECONDS), reading(plane.engine) as session:
            projection = await freshness.read(session, await commands.clock(session))
    except QUERY_FAULTS:
        return Dependency(name="database", ok=False, detail="unreachable"), None
    return Dependency(name="database", ok=True), projection


async def _temporal(plane: ControlPlane) -> Dependency:
    try:
        await call_temporal(
            plane.temporal.workflow_service.describe_namespace(
                service.DescribeNamespaceRequest(namespace=plane.settings.temporal_namespace), timeout=DEADLINE
            ),
            noun="namespace",
            identifier=plane.settings.temporal_namespace,
        )
    except AgentGridError as error:
        return Dependency(name="temporal", ok=False, detail=error.code)
    return Dependency(name="temporal", ok=True)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Text format."}},
)
async def get_metrics(request: Request, session: Session) -> Response:
    """Metrics of this process, and of the installation as a whole from the database."""
    registry: metrics.Metrics = request.app.state.metrics
    projection = await freshness.read(session, await commands.clock(session))
    registry.observe(
        runs=await runs.counts(session, scope=EVERY_WORKFLOW, since=DAY),
        pending_commands=await commands.pending_count(session),
        refused_signals=await approvals.refused_since(session, DAY),
        unattributed_signals=await attribution.count_since(session, DAY),
        lag_seconds=projection.lag_seconds,
        streams=request.app.state.feed.streams,
        waiters=request.app.state.waiting.count,
        budgets=await logins.budgets(session),
        reads_dropped=request.app.state.reads.dropped,
        read_failures=request.app.state.reads.failures,
    )
    return Response(registry.text(), media_type=metrics.MEDIA_TYPE)


@router.get(f"{V1}/me", summary="The caller and its permissions", tags=["me"])
async def me(request: Request, identity: CurrentIdentity) -> Me:
    """The principal of the API key or browser session, and facts about the installation."""
    return me_of(identity, request.app.state.facts)


@router.get(
    f"{V1}/overview", summary="Counts of runs and approvals with links to their lists, and what is due", tags=["me"]
)
async def overview(
    session: Session,
    plane: Plane,
    caller: CurrentCaller,
    shown: CallerView,
    lists: Annotated[
        bool, Query(description="Include the first rows of the lists behind the counts, and of the catalog.")
    ] = False,
) -> Overview:
    """Current counts, what is due next, and what needs attention. With `lists`, everything a home page shows."""
    return await overview_of(session, plane, caller, shown, inbox(plane, caller), lists=lists)
