"""Runs: lists, details, verbs and streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import history, letters, sse, views
from agentgrid.api.access import READ_PAYLOADS, V1
from agentgrid.api.approval_filter import visible
from agentgrid.api.deps import (
    DEFAULT_LIMIT,
    CallerView,
    CurrentCaller,
    CurrentIdentity,
    CurrentPrincipal,
    Cursor,
    Id,
    Limit,
    Plane,
    Session,
)
from agentgrid.api.feed import Feed
from agentgrid.api.paging import cut, decode, decode_key, encode, encode_key, moment
from agentgrid.api.routing import authorise, make_router
from agentgrid.api.run_filter import RunFilters
from agentgrid.api.schemas.approvals import ApprovalRow
from agentgrid.api.schemas.common import Page
from agentgrid.api.schemas.events import EXTENSION, STREAM
from agentgrid.api.schemas.jobs import JobOut
from agentgrid.api.schemas.run_verbs import RunInterrupt, RunReason
from agentgrid.api.schemas.runs import RunAccepted, RunCounts, RunDetail, RunHistory, RunRow, RunSignal, SignalAccepted
from agentgrid.api.schemas.steps import StepOut
from agentgrid.api.shown import Shown
from agentgrid.control import run_verbs
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import approval_context, approvals, run_counts, run_details, runs, steps, workflows
from agentgrid.db.pool import direct
from agentgrid.db.run_filter import is_ordered
from agentgrid.db.runs import Sort
from agentgrid.db.session import reading
from agentgrid.db.tables import Command
from agentgrid.domain.live import Interest
from agentgrid.domain.principals import Principal
from agentgrid.domain.runs import Verb
from agentgrid.domain.steps import StepKind, StepStatus
from agentgrid.errors import NotFound

router = make_router(tags=["runs"], prefix=f"{V1}/runs")

Text = Annotated[str | None, Query(min_length=1, max_length=300)]


SortedBy = Annotated[
    Sort,
    Query(
        description="`created`: newest first. `updated`: most recently changed first; a run that changes moves to the front. `next_at`: by what "
        "happens next, soonest first; only runs that have such a time."
    ),
]


@router.get("", summary="List runs, newest first")
async def list_runs(
    request: Request,
    plane: Plane,
    principal: CurrentPrincipal,
    shown: CallerView,
    filters: RunFilters,
    sort: SortedBy = "created",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[RunRow]:
    """No payloads. `started_after` and `started_before` refer to `created_at`, the time the run was requested."""
    after = decode_key(request, cursor)
    scope = principal.workflows
    if sort == "created" and is_ordered(filters, scope):
        async with direct(plane.pool) as connection:
            rows = await runs.newest_in_order(connection, filters=filters, scope=scope, limit=limit + 1, after=after)
            titles = await workflows.titles(connection, {row["workflow"] for row in rows})
    else:
        async with reading(plane.engine) as session:
            matches = await runs.newest(session, filters=filters, scope=scope, limit=limit + 1, after=after, sort=sort)
        rows = [vars(run) for run in matches]
        async with direct(plane.pool) as connection:
            titles = await workflows.titles(connection, {row["workflow"] for row in rows})
    at = {"created": "created_at", "updated": "updated_at", "next_at": "next_at"}[sort]
    page, next_cursor = cut(rows, limit, lambda run: encode_key(request, run[at], run["run_id"]))
    items = [views.run_row(run, titles.get(run["workflow"]), shown) for run in page]
    return Page[RunRow](items=items, next_cursor=next_cursor)


@router.get("/counts", summary="Count runs by status")
async def count_runs(session: Session, principal: CurrentPrincipal, filters: RunFilters) -> RunCounts:
    """Takes the filters of the list. Counting stops at 100,000 runs; `complete` is then false and the counts are lower bounds."""
    counts = await run_counts.by_status(session, filters=filters, scope=principal.workflows)
    return RunCounts(by_status=dict(counts.by_status), total=counts.total, complete=counts.complete)


@router.get("/{run_id}", summary="One run: status, what it is waiting for, steps, executions, approvals and actions")
async def get_run(plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id) -> RunDetail:
    """Everything about a run in one response. Input, result and error messages are null unless the caller may read payloads."""
    return views.run_detail(plane, caller, shown, await details(plane, caller.principal, run_id))


async def details(plane: ControlPlane, principal: Principal, run_id: str) -> run_details.Details:
    """Everything that a run's detail shows. Raises NotFound if it doesn't exist or the principal may not see it."""
    async with direct(plane.pool) as connection:
        run = await run_details.get(connection, run_id, scope=principal.workflows)
    if run is None:
        raise NotFound("run", run_id)
    return run


@router.get("/{run_id}/steps", summary="List the run's steps, oldest first")
async def list_steps(
    request: Request,
    session: Session,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    execution: Text = None,
    status: Annotated[list[StepStatus], Query()] = [],  # noqa: B006
    kind: Annotated[list[StepKind], Query()] = [],  # noqa: B006
    payloads: Annotated[bool, Query(description="Include inputs and outputs, if the caller may read them.")] = True,
) -> Page[StepOut]:
    """The steps of the newest execution of each segment. With `execution`, the steps of that execution, even if a reset replaced it."""
    await runs.seen(session, run_id, scope=principal.workflows)
    after = None
    if cursor is not None:
        at, event_id, execution_id = decode(request, cursor, str, int, str)
        after = (moment(at), event_id, execution_id)
    rows = await steps.of_run(
        session, run_id, limit=limit + 1, after=after, execution_id=execution, status=status, kind=kind
    )
    page, next_cursor = cut(
        rows, limit, lambda row: encode(request, row.scheduled_at.isoformat(), row.event_id, row.execution_id)
    )
    return Page[StepOut](items=[views.step(row, shown, payloads=payloads) for row in page], next_cursor=next_cursor)


@router.get("/{run_id}/jobs", summary="List the run's jobs (attempts of its steps on workers), oldest first")
async def list_jobs(
    request: Request,
    session: Session,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    execution: Text = None,
    activity: Text = None,
) -> Page[JobOut]:
    """As reported by the workers, corrected by history."""
    await runs.seen(session, run_id, scope=principal.workflows)
    rows = await steps.jobs(
        session,
        run_id,
        limit=limit + 1,
        after=decode_key(request, cursor),
        execution_id=execution,
        activity_id=activity,
    )
    page, next_cursor = cut(rows, limit, lambda row: encode_key(request, row.job.started_at, row.job.job_id))
    return Page[JobOut](items=[views.job(row, shown) for row in page], next_cursor=next_cursor)


@router.get("/{run_id}/approvals", summary="List the run's approvals, newest first")
async def list_run_approvals(
    request: Request,
    session: Session,
    plane: Plane,
    caller: CurrentCaller,
    shown: CallerView,
    run_id: Id,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ApprovalRow]:
    """Includes closed approvals."""
    await runs.seen(session, run_id, scope=caller.principal.workflows)
    rows = await approvals.newest(
        session,
        filters=replace(visible(caller), run_id=run_id),
        scope=caller.principal.workflows,
        limit=limit + 1,
        after=decode_key(request, cursor),
    )
    page, next_cursor = cut(rows, limit, lambda pair: encode_key(request, pair[0].opened_at, pair[0].approval_id))
    context = await approval_context.read(session, page)
    return Page[ApprovalRow](items=letters.rows(plane, caller, shown, page, context), next_cursor=next_cursor)


@router.get(
    "/{run_id}/history",
    summary="The raw history of an execution",
    responses={409: {"description": "The archived history is too large to read."}},
)
async def get_history(
    request: Request,
    plane: Plane,
    principal: CurrentPrincipal,
    shown: CallerView,
    run_id: Id,
    execution: Text = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RunHistory:
    """Read from Temporal, or from the archive if Temporal no longer has it. Defaults to the run's newest execution."""
    async with reading(plane.engine) as session:
        run = await runs.seen(session, run_id, scope=principal.workflows)
        chain = await runs.executions(session, run_id)
    execution_id = execution or run.execution_id
    if execution_id is None or execution_id not in {row.execution_id for row in chain}:
        raise NotFound("execution", execution_id or f"of {run_id}")
    page = await history.page(plane, request, run, execution_id, limit=limit, cursor=cursor)
    return page.model_copy(update={"items": shown.value(page.items)})


@router.get(
    "/{run_id}/events",
    summary="Stream the run's events (SSE)",
    response_class=Response,
    responses=STREAM,
    openapi_extra=EXTENSION,
)
async def stream_run(
    request: Request,
    plane: Plane,
    identity: CurrentIdentity,
    shown: CallerView,
    run_id: Id,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    deltas: Annotated[
        bool,
        Query(description="Also stream model answers as they are written. Requires the permission to read payloads."),
    ] = False,
    begin: Annotated[
        Literal["now"] | None,
        Query(alias="from", description="Without `Last-Event-ID`: start now, with the event `hello`."),
    ] = None,
) -> Response:
    """Starts at the first stored event, or after `Last-Event-ID`. The last event is `end`; then the stream closes.

    `reset` means that events after the given id are no longer stored. `delta` events have no id and are not stored: some may be missing, and a
    model request that began before the stream opened sends none. The full text of a turn is in its step's output once the step has closed; the last
    deltas of a run's last turn may arrive too late for the stream.
    """
    if deltas:
        authorise(identity.principal, READ_PAYLOADS)
    async with reading(plane.engine) as session:
        run = await runs.seen(session, run_id, scope=identity.principal.workflows)
    # Summaries of its events may quote payloads.
    shown.reveal()
    shown.disclosure.subject = run_id
    source: Feed = request.app.state.feed
    cursor = await source.resume(last_event_id, from_start=begin is None)
    admission = sse.Admission(plane.pool, identity, source)
    interest = Interest(run_id=run_id)
    hello = begin is not None
    events = sse.of_run(source, admission, plane.engine, run, cursor, interest, deltas=deltas, hello=hello)
    return sse.respond(source, identity.principal.name, interest, events)


async def _accepted(plane: ControlPlane, caller: Caller, shown: Shown, command: Command) -> RunAccepted:
    run = await details(plane, caller.principal, command.run_id or "")
    return views.run_accepted(plane, caller, shown, run, command)


@router.post("/{run_id}/cancel", status_code=202, summary="Cancel the run and let it clean up")
async def cancel(
    plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, body: RunReason | None = None
) -> RunAccepted:
    """The run is `cancelling` until its workflow has finished."""
    command = await run_verbs.act(plane, caller, run_id, Verb.CANCEL, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/terminate", status_code=202, summary="Terminate the run immediately, without cleanup")
async def terminate(
    plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, body: RunReason | None = None
) -> RunAccepted:
    """The effects of steps in progress are not undone."""
    command = await run_verbs.act(plane, caller, run_id, Verb.TERMINATE, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/pause", status_code=202, summary="Pause the run: no new step starts until it is resumed")
async def pause(
    plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, body: RunReason | None = None
) -> RunAccepted:
    """New activities and children wait. Steps in progress, timers, run timeouts and approval expiry continue."""
    command = await run_verbs.act(plane, caller, run_id, Verb.PAUSE, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/resume", status_code=202, summary="Resume a paused run")
async def resume(
    plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, body: RunReason | None = None
) -> RunAccepted:
    """Starts the steps that were held back."""
    command = await run_verbs.act(plane, caller, run_id, Verb.RESUME, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post(
    "/{run_id}/interrupt", status_code=202, summary="Stop the current turn of the run's agents, and pause the run"
)
async def interrupt(
    plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, body: RunInterrupt | None = None
) -> RunAccepted:
    """Cancels the model request and tool calls in progress and withdraws their approvals. Completed calls keep their results.

    The run is `paused` once all of them have ended; the command is then `applied`. After resume the agent continues, with the message if one
    was sent. `409` if no agent is running. Agents in child runs continue: interrupt those by their own run ids.
    """
    request = body or RunInterrupt()
    command = await run_verbs.act(plane, caller, run_id, Verb.INTERRUPT, reason=request.reason, message=request.message)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/signal", status_code=202, summary="Send a signal to the run's workflow")
async def signal(plane: Plane, caller: CurrentCaller, shown: CallerView, run_id: Id, body: RunSignal) -> SignalAccepted:
    """For the workflow's own handlers. A signal can't decide an approval: unsigned decision signals have no effect.

    `422` if no handler of the run's version takes this name or these arguments, with the nearest name. If the version is unknown, nothing is
    checked and `handler` is `unknown`.
    """
    request = run_verbs.SignalRequest(name=body.name, arguments=tuple(body.arguments))
    command = await run_verbs.act(plane, caller, run_id, Verb.SIGNAL, reason=body.reason, signal=request)
    run = await details(plane, caller.principal, command.run_id or "")
    return views.signal_accepted(plane, caller, shown, run, command)
