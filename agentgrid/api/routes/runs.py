"""Runs: lists, details, verbs, streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from agentgrid.api import history, letters, sse, views
from agentgrid.api.access import READ_PAYLOADS, V1
from agentgrid.api.approval_filter import visible
from agentgrid.api.deps import DEFAULT_LIMIT, Asking, Cursor, Id, Limit, Login, Plane, Session, Shows, Who
from agentgrid.api.feed import Feed
from agentgrid.api.paging import cut, decode, decode_key, encode, encode_key, moment
from agentgrid.api.routing import authorise, make_router
from agentgrid.api.run_filter import Wanted
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
        description="`created`: newest first. `updated`: last changed first; a run that changes moves to the front. `next_at`: what happens "
        "next first, only runs that have such a time."
    ),
]


@router.get("", summary="List runs, newest first")
async def list_runs(
    request: Request,
    plane: Plane,
    principal: Who,
    shown: Shows,
    wanted: Wanted,
    sort: SortedBy = "created",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[RunRow]:
    """No payloads. `started_after` and `started_before` compare with `created_at`, when the run was requested."""
    after = decode_key(request, cursor)
    scope = principal.workflows
    if sort == "created" and is_ordered(wanted, scope):
        async with direct(plane.pool) as connection:
            rows = await runs.newest_in_order(connection, wanted=wanted, scope=scope, limit=limit + 1, after=after)
            titles = await workflows.titles(connection, {row["workflow"] for row in rows})
    else:
        async with reading(plane.engine) as session:
            found = await runs.newest(session, wanted=wanted, scope=scope, limit=limit + 1, after=after, sort=sort)
        rows = [vars(run) for run in found]
        async with direct(plane.pool) as connection:
            titles = await workflows.titles(connection, {row["workflow"] for row in rows})
    at = {"created": "created_at", "updated": "updated_at", "next_at": "next_at"}[sort]
    page, onward = cut(rows, limit, lambda run: encode_key(request, run[at], run["run_id"]))
    items = [views.run_row(run, titles.get(run["workflow"]), shown) for run in page]
    return Page[RunRow](items=items, next_cursor=onward)


@router.get("/counts", summary="Count runs by status")
async def count_runs(session: Session, principal: Who, wanted: Wanted) -> RunCounts:
    """Takes the filters of the list. Counting ends at 100,000 runs; then `complete` is false and the counts are lower bounds."""
    found = await run_counts.by_status(session, wanted=wanted, scope=principal.workflows)
    return RunCounts(by_status=dict(found.by_status), total=found.total, complete=found.complete)


@router.get("/{run_id}", summary="One run: status, what it waits for, steps, executions, approvals, actions")
async def get_run(plane: Plane, caller: Asking, shown: Shows, run_id: Id) -> RunDetail:
    """Everything about a run in one response. Input, result and error messages are null unless the caller may read payloads."""
    return views.run_detail(plane, caller, shown, await details(plane, caller.principal, run_id))


async def details(plane: ControlPlane, principal: Principal, run_id: str) -> run_details.Details:
    """The run with everything that its detail shows. Raises NotFound if it doesn't exist or the principal may not see it."""
    async with direct(plane.pool) as connection:
        found = await run_details.get(connection, run_id, scope=principal.workflows)
    if found is None:
        raise NotFound("run", run_id)
    return found


@router.get("/{run_id}/steps", summary="The run's steps, oldest first")
async def list_steps(
    request: Request,
    session: Session,
    principal: Who,
    shown: Shows,
    run_id: Id,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    execution: Text = None,
    status: Annotated[list[StepStatus], Query()] = [],  # noqa: B006
    kind: Annotated[list[StepKind], Query()] = [],  # noqa: B006
    payloads: Annotated[bool, Query(description="Include inputs and outputs, if the caller may read them.")] = True,
) -> Page[StepOut]:
    """The steps of the newest execution of each segment. With `execution`, the steps of that one, even if a reset replaced it."""
    await runs.seen(session, run_id, scope=principal.workflows)
    after = None
    if cursor is not None:
        at, event_id, execution_id = decode(request, cursor, str, int, str)
        after = (moment(at), event_id, execution_id)
    rows = await steps.of_run(
        session, run_id, limit=limit + 1, after=after, execution_id=execution, status=status, kind=kind
    )
    page, onward = cut(
        rows, limit, lambda row: encode(request, row.scheduled_at.isoformat(), row.event_id, row.execution_id)
    )
    return Page[StepOut](items=[views.step(row, shown, payloads=payloads) for row in page], next_cursor=onward)


@router.get("/{run_id}/jobs", summary="List the run's jobs (attempts of its steps on workers), oldest first")
async def list_jobs(
    request: Request,
    session: Session,
    principal: Who,
    shown: Shows,
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
    page, onward = cut(rows, limit, lambda row: encode_key(request, row.job.started_at, row.job.job_id))
    return Page[JobOut](items=[views.job(row, shown) for row in page], next_cursor=onward)


@router.get("/{run_id}/approvals", summary="The run's approvals, newest first")
async def list_run_approvals(
    request: Request,
    session: Session,
    plane: Plane,
    caller: Asking,
    shown: Shows,
    run_id: Id,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ApprovalRow]:
    """Includes closed approvals."""
    await runs.seen(session, run_id, scope=caller.principal.workflows)
    rows = await approvals.newest(
        session,
        wanted=replace(visible(caller), run_id=run_id),
        scope=caller.principal.workflows,
        limit=limit + 1,
        after=decode_key(request, cursor),
    )
    page, onward = cut(rows, limit, lambda pair: encode_key(request, pair[0].opened_at, pair[0].approval_id))
    context = await approval_context.read(session, page)
    return Page[ApprovalRow](items=letters.rows(plane, caller, shown, page, context), next_cursor=onward)


@router.get(
    "/{run_id}/history",
    summary="The raw history of an execution",
    responses={409: {"description": "The archive is too large to be read."}},
)
async def get_history(
    request: Request,
    plane: Plane,
    principal: Who,
    shown: Shows,
    run_id: Id,
    execution: Text = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> RunHistory:
    """From Temporal, or from the archive if Temporal no longer has it. Defaults to the run's newest execution."""
    async with reading(plane.engine) as session:
        run = await runs.seen(session, run_id, scope=principal.workflows)
        chain = await runs.executions(session, run_id)
    execution_id = execution or run.execution_id
    if execution_id is None or execution_id not in {row.execution_id for row in chain}:
        raise NotFound("execution", execution_id or f"of {run_id}")
    found = await history.page(plane, request, run, execution_id, limit=limit, cursor=cursor)
    return found.model_copy(update={"items": shown.value(found.items)})


@router.get(
    "/{run_id}/events",
    summary="The run's events, live (SSE)",
    response_class=Response,
    responses=STREAM,
    openapi_extra=EXTENSION,
)
async def stream_run(
    request: Request,
    plane: Plane,
    login: Login,
    shown: Shows,
    run_id: Id,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
    deltas: Annotated[
        bool,
        Query(
            description="Also send models' answers while they are being written. Requires the permission to read payloads."
        ),
    ] = False,
    begin: Annotated[
        Literal["now"] | None,
        Query(alias="from", description="Without `Last-Event-ID`, start now, with an event `hello`."),
    ] = None,
) -> Response:
    """Starts at the first stored event, or after `Last-Event-ID`. The last event is `end`; then the stream closes.

    `reset` means that events after the given id are no longer stored. A `delta` has no id and is not stored: some may be missing, and a
    model request that began before the stream sends none. The whole text of a turn is in the output of its step once that has closed; the last
    deltas of a run's last turn may come too late for the stream.
    """
    if deltas:
        authorise(login.principal, READ_PAYLOADS)
    async with reading(plane.engine) as session:
        run = await runs.seen(session, run_id, scope=login.principal.workflows)
    # Its summaries may quote payloads.
    shown.reveal()
    shown.disclosure.subject = run_id
    source: Feed = request.app.state.feed
    cursor = await source.resume(last_event_id, from_start=begin is None)
    admission = sse.Admission(plane.pool, login, source)
    interest = Interest(run_id=run_id)
    hello = begin is not None
    events = sse.of_run(source, admission, plane.engine, run, cursor, interest, deltas=deltas, hello=hello)
    return sse.respond(source, login.principal.name, interest, events)


async def _accepted(plane: ControlPlane, caller: Caller, shown: Shown, command: Command) -> RunAccepted:
    found = await details(plane, caller.principal, command.run_id or "")
    return views.run_accepted(plane, caller, shown, found, command)


@router.post("/{run_id}/cancel", status_code=202, summary="Cancel the run and let it clean up")
async def cancel(plane: Plane, caller: Asking, shown: Shows, run_id: Id, body: RunReason | None = None) -> RunAccepted:
    """The run is `cancelling` until its workflow has finished."""
    command = await run_verbs.act(plane, caller, run_id, Verb.CANCEL, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/terminate", status_code=202, summary="Terminate the run at once, without cleanup")
async def terminate(
    plane: Plane, caller: Asking, shown: Shows, run_id: Id, body: RunReason | None = None
) -> RunAccepted:
    """The effects of steps in progress are not undone."""
    command = await run_verbs.act(plane, caller, run_id, Verb.TERMINATE, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/pause", status_code=202, summary="Pause the run: no new step starts until it is resumed")
async def pause(plane: Plane, caller: Asking, shown: Shows, run_id: Id, body: RunReason | None = None) -> RunAccepted:
    """New activities and children wait. Steps in progress, timers, run timeouts and approval expiry go on."""
    command = await run_verbs.act(plane, caller, run_id, Verb.PAUSE, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/resume", status_code=202, summary="Resume a paused run")
async def resume(plane: Plane, caller: Asking, shown: Shows, run_id: Id, body: RunReason | None = None) -> RunAccepted:
    """Starts the steps that were held back."""
    command = await run_verbs.act(plane, caller, run_id, Verb.RESUME, reason=body.reason if body else None)
    return await _accepted(plane, caller, shown, command)


@router.post(
    "/{run_id}/interrupt", status_code=202, summary="Stop the current turn of the run's agents, and pause the run"
)
async def interrupt(
    plane: Plane, caller: Asking, shown: Shows, run_id: Id, body: RunInterrupt | None = None
) -> RunAccepted:
    """Cancels the model request and the tool calls in progress and withdraws their approvals. Completed calls keep their results.

    The run is `paused` when all of them have ended; the command is then `applied`. After resume the agent goes on, with the message if there
    is one. `409` if no agent is at work. Agents in child runs go on: interrupt those by the id of their run.
    """
    asked = body or RunInterrupt()
    command = await run_verbs.act(plane, caller, run_id, Verb.INTERRUPT, reason=asked.reason, message=asked.message)
    return await _accepted(plane, caller, shown, command)


@router.post("/{run_id}/signal", status_code=202, summary="Send a signal to the run's workflow")
async def signal(plane: Plane, caller: Asking, shown: Shows, run_id: Id, body: RunSignal) -> SignalAccepted:
    """For the workflow's own handlers. It can't decide an approval: an unsigned signal has no effect on one.

    A name or arguments that no handler of the run's version takes: `422`, with the nearest name. Where the version is not known, nothing is
    checked, and `handler` is `unknown`.
    """
    request = run_verbs.SignalRequest(name=body.name, arguments=tuple(body.arguments))
    command = await run_verbs.act(plane, caller, run_id, Verb.SIGNAL, reason=body.reason, signal=request)
    found = await details(plane, caller.principal, command.run_id or "")
    return views.signal_accepted(plane, caller, shown, found, command)
