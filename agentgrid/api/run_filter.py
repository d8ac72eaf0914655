"""The filters of run lists, counts and facets, as query parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Query

from agentgrid.api import views
from agentgrid.api.deps import CurrentPrincipal
from agentgrid.api.schemas.common import Moment
from agentgrid.db.run_filter import RunFilter
from agentgrid.domain.principals import Permission
from agentgrid.domain.run_states import WAITS, RunState
from agentgrid.domain.runs import RunStatus, RunTrigger, WaitingOn
from agentgrid.errors import InvalidInput, InvalidPlace

MAX_IDS = 200
MAX_WORKFLOWS = 50
MAX_SECONDS = 366 * 86_400.0

Text = Annotated[str | None, Query(min_length=1, max_length=300)]
Words = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="Words to find in workflow, reference, note or workflow id; or a run id, its beginning or its end. For callers who may read "
        "payloads, also in the subject and the titles of open approvals.",
    ),
]


async def _filters(
    principal: CurrentPrincipal,
    state: Annotated[
        list[RunState],
        Query(
            description="Any of these states: a status, or what a waiting run is waiting for. `waiting` covers waits without a state of their own."
        ),
    ] = [],  # noqa: B006
    status: Annotated[list[RunStatus], Query(description="Any of these.")] = [],  # noqa: B006
    waiting_on: Annotated[list[WaitingOn], Query(description="Any of these.")] = [],  # noqa: B006
    ids: Annotated[list[str], Query(max_length=MAX_IDS, description="Only these runs. Unknown ids are ignored.")] = [],  # noqa: B006
    workflow: Annotated[list[str], Query(max_length=MAX_WORKFLOWS, description="Any of these.")] = [],  # noqa: B006
    version: Annotated[
        str | None, Query(min_length=1, max_length=300, description="The version of the workflow. Requires `workflow`.")
    ] = None,
    agent: Text = None,
    tool: Text = None,
    tag: Annotated[list[str], Query(max_length=20, description="All of these.")] = [],  # noqa: B006
    reference: Text = None,
    initiator: Text = None,
    trigger: RunTrigger | None = None,
    parent: Text = None,
    workflow_id: Text = None,
    task_queue: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=300,
            description="The run's task queue. Requires `state`, `status`, `waiting_on` or `workflow`.",
        ),
    ] = None,
    stuck: Annotated[
        bool | None, Query(description="Whether the run waits for a worker or its workflow task keeps failing.")
    ] = None,
    started_after: Moment | None = None,
    started_before: Moment | None = None,
    closed_after: Moment | None = None,
    closed_before: Moment | None = None,
    duration_over: Annotated[
        float | None,
        Query(
            ge=0,
            le=MAX_SECONDS,
            allow_inf_nan=False,
            description="Only runs that took longer than this many seconds, or have been open for longer.",
        ),
    ] = None,
    q: Words = None,
) -> RunFilter:
    for before, after, name in (
        (started_after, started_before, "started"),
        (closed_after, closed_before, "closed"),
    ):
        if not views.in_order(before, after):
            fault = InvalidPlace(pointer=f"{name}_before", message=f"must not be before {name}_after")
            raise InvalidInput("the time range is reversed", [fault])
    if version is not None and not workflow:
        fault = InvalidPlace(pointer="version", message="also send `workflow`")
        raise InvalidInput("`version` requires `workflow`", [fault])
    if task_queue is not None and not (state or status or waiting_on or workflow):
        fault = InvalidPlace(pointer="task_queue", message="also send `state`, `status`, `waiting_on` or `workflow`")
        raise InvalidInput("`task_queue` alone would search all runs", [fault])
    states, statuses, waits = _state_filters(state, status, waiting_on)
    return RunFilter(
        state=states,
        status=statuses,
        waiting_on=waits,
        run_ids=tuple(dict.fromkeys(ids)),
        workflow=tuple(dict.fromkeys(workflow)),
        version=version,
        agent=agent,
        tool=tool,
        tag=tuple(tag),
        reference=reference,
        initiator=initiator,
        trigger=trigger,
        parent=parent,
        workflow_id=workflow_id,
        task_queue=task_queue,
        stuck=stuck,
        started_after=started_after,
        started_before=started_before,
        closed_after=closed_after,
        closed_before=closed_before,
        duration_over=None if duration_over is None else timedelta(seconds=duration_over),
        q=q,
        titles=q is not None and principal.may(Permission.READ_PAYLOADS),
    )


StateFilters = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _state_filters(state: list[RunState], status: list[RunStatus], waiting_on: list[WaitingOn]) -> StateFilters:
    """The states, statuses and waits to filter by. States that are all statuses become status filters, for which there are ordered indexes."""
    if state and not status and not {*WAITS, RunState.STUCK} & set(state):
        return (), tuple(dict.fromkeys(entry.value for entry in state)), tuple(waiting_on)
    return tuple(dict.fromkeys(state)), tuple(status), tuple(waiting_on)


RunFilters = Annotated[RunFilter, Depends(_filters)]
