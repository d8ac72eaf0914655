"""Workflows: the catalog, and starting runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import actions, views
from agentgrid.api.access import V1
from agentgrid.api.bulk import request_of
from agentgrid.api.deps import (
    DEFAULT_LIMIT,
    CallerView,
    CurrentCaller,
    CurrentPrincipal,
    Cursor,
    Id,
    Limit,
    Plane,
    Search,
    Session,
)
from agentgrid.api.paging import cut, decode, encode
from agentgrid.api.routes.runs import details
from agentgrid.api.routing import make_router
from agentgrid.api.schemas.agents import UsageOver
from agentgrid.api.schemas.common import Page, Reason, SwitchOut
from agentgrid.api.schemas.runs import RunAccepted, RunStart
from agentgrid.api.schemas.timeline import UsualStep
from agentgrid.api.schemas.workflows import (
    DurationBin,
    ErrorGroup,
    LastRun,
    UsualSteps,
    WorkflowDetail,
    WorkflowFigures,
    WorkflowLately,
    WorkflowStats,
    WorkflowSummary,
    WorkflowVersionDetail,
    WorkflowVersionOut,
)
from agentgrid.api.shown import Shown, class_of
from agentgrid.api.timeline import Usuals
from agentgrid.api.usage import Span, over
from agentgrid.control import runs as control_runs
from agentgrid.control import switches as control_switches
from agentgrid.control import workers
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import agent_usage, runs, switches, workflow_figures, workflows
from agentgrid.db.pool import direct
from agentgrid.db.run_details import Details
from agentgrid.db.runs import Last
from agentgrid.db.session import ReadSession, reading
from agentgrid.db.tables import Switch, Workflow, WorkflowVersion
from agentgrid.db.workflow_figures import EDGES_SECONDS, Lately
from agentgrid.domain.handlers import Handlers
from agentgrid.domain.principals import Principal
from agentgrid.domain.steps import StepKind
from agentgrid.domain.switches import SwitchKind
from agentgrid.domain.timeline import usual_steps
from agentgrid.errors import NotFound

router = make_router(tags=["workflows"], prefix=f"{V1}/workflows")

MAX_VERSIONS = 50
BINS = len(EDGES_SECONDS) + 1
DAY = timedelta(days=1)
MONTH = timedelta(days=30)


def _values(
    row: Workflow, served: bool | None, last: Last | None, switch: Switch | None, last_24h: Lately | None
) -> dict[str, object]:
    return {
        "lately": WorkflowLately.model_validate(last_24h or Lately()),
        **vars(row),
        "served": served,
        "switch": SwitchOut.of(switch),
        "last_run": None if last is None else LastRun.model_validate(last),
    }


async def _served(session: ReadSession, plane: ControlPlane, rows: Sequence[Workflow]) -> dict[str, bool | None]:
    """Whether the newest code of each workflow's queue includes it and a live worker polls that queue."""
    current = await workflows.current(session, rows)
    polled = await workers.served(plane, [row.task_queue for row in rows if row.name in current], workers.WORKFLOW)
    return {row.name: polled[row.task_queue] if row.name in current else False for row in rows}


@router.get("", summary="List workflows by name")
async def list_workflows(
    request: Request,
    session: Session,
    plane: Plane,
    principal: CurrentPrincipal,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    tag: Annotated[str | None, Query(min_length=1, max_length=300)] = None,
    q: Search = None,
) -> Page[WorkflowSummary]:
    """All registered workflows."""
    after = decode(request, cursor, str)[0] if cursor else None
    rows = await workflows.by_name(session, limit=limit + 1, after=after, tag=tag, q=q)
    page, next_cursor = cut(rows, limit, lambda row: encode(request, row.name))
    last = await runs.last_of(session, [row.name for row in page if principal.sees(row.name)])
    kill_switches = await switches.newest(session, SwitchKind.WORKFLOW, [row.name for row in page])
    served = await _served(session, plane, page)
    visible = [row.name for row in page if principal.sees(row.name)]
    last_24h = await workflow_figures.lately(session, visible, since=DAY)
    return Page[WorkflowSummary](
        items=[
            WorkflowSummary.model_validate(
                _values(row, served[row.name], last.get(row.name), kill_switches.get(row.name), last_24h.get(row.name))
            )
            for row in page
        ],
        next_cursor=next_cursor,
    )


async def _detail(session: ReadSession, plane: ControlPlane, principal: Principal, name: str) -> WorkflowDetail:
    row = await workflows.get(session, name)
    if row is None:
        raise NotFound("workflow", name)
    current = await workflows.version(session, name, row.version)
    visible = principal.sees(name)
    last = await runs.last_of(session, [name] if visible else [])
    opened, closed = await runs.counts_of_workflow(session, name, since=DAY) if visible else ({}, {})
    served = await _served(session, plane, [row])
    switch = (await switches.newest(session, SwitchKind.WORKFLOW, [name])).get(name)
    last_24h = await workflow_figures.lately(session, [name] if visible else [], since=DAY)
    values = _values(row, served[name], last.get(name), switch, last_24h.get(name)) | {
        **_schemas(current),
        "versions": [
            WorkflowVersionOut.model_validate(version)
            for version in await workflows.versions(session, name, limit=MAX_VERSIONS)
        ],
        "stats": WorkflowStats(open=opened, closed_24h=closed),
        "actions": actions.of_workflow(principal, name, switch),
    }
    return WorkflowDetail.model_validate(values)


@router.get("/{name}", summary="One workflow: schemas, versions, statistics, and whether a live worker serves it")
async def get_workflow(session: Session, plane: Plane, principal: CurrentPrincipal, name: Id) -> WorkflowDetail:
    """`input_schema` is the JSON Schema of a run's `input`."""
    return await _detail(session, plane, principal, name)


@router.get("/{name}/versions/{version}", summary="One version of a workflow, with its schemas")
async def get_workflow_version(session: Session, name: Id, version: Id) -> WorkflowVersionDetail:
    """To see what changed, compare it with its `previous` version. Versions with equal schemas and handlers differ only in code."""
    row = await workflows.version(session, name, version)
    if row is None:
        raise NotFound("workflow version", f"{name} {version}")
    return WorkflowVersionDetail(
        version=row.version,
        build=row.build,
        first_seen_at=row.first_seen_at,
        **_schemas(row),
        previous=await workflows.version_before(session, row),
    )


def _schemas(row: WorkflowVersion | None) -> dict[str, Any]:
    if row is None:
        return {"input_schema": {}, "output_schema": None, "handlers": None}
    return {
        "input_schema": views.schema(row.input_schema),
        "output_schema": None if row.output_schema is None else views.schema(row.output_schema),
        "handlers": Handlers.read(row.handlers),
    }


@router.get("/{name}/usage", summary="Model usage of a workflow's runs over a period, by hour or day")
async def get_workflow_usage(session: Session, principal: CurrentPrincipal, name: Id, span: Span) -> UsageOver:
    """Covers all agents called by its runs."""
    if await workflows.get(session, name) is None:
        raise NotFound("workflow", name)
    buckets = (
        await agent_usage.of_workflow(session, name, since=span.since, before=span.before, bucket=span.bucket)
        if principal.sees(name)
        else []
    )
    return over(span, buckets)


@router.get(
    "/{name}/figures",
    summary="A workflow's outcomes, usual steps and durations over the last 30 days",
)
async def get_workflow_figures(
    request: Request, plane: Plane, principal: CurrentPrincipal, name: Id
) -> WorkflowFigures:
    """Median and 95th percentile of durations, errors by class, and the usual steps of the current version."""
    async with reading(plane.engine) as session:
        row = await workflows.get(session, name)
        if row is None:
            raise NotFound("workflow", name)
        if not principal.sees(name):
            empty = UsualSteps(runs=0, steps=[])
            return WorkflowFigures(
                completed=0, p50_seconds=None, p95_seconds=None, usual=empty, errors=[], durations=_bins([0] * BINS)
            )
        figures = await workflow_figures.took(session, name, since=MONTH)
        errors = await workflow_figures.errors(session, name, since=MONTH)
        durations = await workflow_figures.durations(session, name, since=MONTH)
    return WorkflowFigures(
        **vars(figures),
        usual=await _usual(plane, request.app.state.usuals, row),
        errors=[
            ErrorGroup.model_validate({**vars(group), "error_type": class_of(group.error_type)}) for group in errors
        ],
        durations=_bins(durations),
    )


async def _usual(plane: ControlPlane, usuals: Usuals, row: Workflow) -> UsualSteps:
    async with direct(plane.pool) as connection:
        earlier = await usuals.of(connection, row.name, row.version)
    steps = [
        UsualStep(kind=StepKind(step.kind), name=step.name, title=step.title, count=step.count)
        for step in usual_steps(earlier)
    ]
    return UsualSteps(runs=len(earlier), steps=steps)


def _bins(counts: Sequence[int]) -> list[DurationBin]:
    edges = [0.0, *EDGES_SECONDS]
    ends = [*EDGES_SECONDS, None]
    return [
        DurationBin(from_seconds=begin, to_seconds=end, count=count)
        for begin, end, count in zip(edges, ends, counts, strict=True)
    ]


@router.post("/{name}/disable", summary="Turn on a workflow's kill switch: it can't be started")
async def disable_workflow(plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None) -> WorkflowDetail:
    """Starts are refused with `409`. Within seconds every tool call of its runs, including running ones, fails without a retry."""
    return await _switch(plane, caller, name, True, body)


@router.post("/{name}/enable", summary="Turn off a workflow's kill switch")
async def enable_workflow(plane: Plane, caller: CurrentCaller, name: Id, body: Reason | None = None) -> WorkflowDetail:
    """Runs can be started again. Runs that failed in the meantime stay failed."""
    return await _switch(plane, caller, name, False, body)


async def _switch(
    plane: ControlPlane, caller: Caller, name: str, disabled: bool, body: Reason | None
) -> WorkflowDetail:
    reason = (body.reason if body else None) or ""
    await control_switches.put(plane, caller, SwitchKind.WORKFLOW, name, disabled=disabled, reason=reason)
    async with reading(plane.engine) as session:
        return await _detail(session, plane, caller.principal, name)


@router.post("/{name}/runs", status_code=201, summary="Start a run", responses={200: {"model": RunAccepted}})
async def start_run(
    plane: Plane,
    caller: CurrentCaller,
    shown: CallerView,
    response: Response,
    name: Id,
    body: RunStart,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=255, description="For 30 days, the same idempotency key and body refer to the same run."),
    ] = None,
) -> RunAccepted:
    """`201` with the run. While Temporal is unreachable the run is `queued`; it starts once Temporal is reachable.

    Repeating the request with the same `Idempotency-Key` and body returns `200`, `Idempotent-Replayed: true` and the current state of the run. With a
    different body: `409`.
    """
    started = await control_runs.start(plane, caller, name, request_of(body))
    if started.run is not None:
        details_of_run = Details(run=started.run, workflow_title=started.workflow_title)
        shown = Shown.to(caller.principal)  # not a read: the caller has just sent this input
    else:
        details_of_run = await details(plane, caller.principal, started.run_id)
        shown.disclosure.subject = started.run_id
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    accepted = views.run_accepted(plane, caller, shown, details_of_run, started.command)
    response.headers["Location"] = accepted.links.self
    return accepted
