"""The filters of lists, counts and facets of runs, as query parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Query

from agentgrid.api import views
from agentgrid.api.deps import Who
from agentgrid.api.schemas.common import Moment
from agentgrid.db.run_filter import RunFilter
from agentgrid.domain.principals import Permission
from agentgrid.domain.run_states import WAITS, RunState
from agentgrid.domain.runs import RunStatus, RunTrigger, WaitingOn
from agentgrid.errors import InvalidInput, InvalidPlace

MAX_IDS = 200
MAX_WORKFLOWS = 50
LONGEST_SECONDS = 366 * 86_400.0

Text = Annotated[str | None, Query(min_length=1, max_length=300)]
Words = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="Words to find anywhere in workflow, reference, note or workflow id; or a run id, or its beginning or end. For callers who may read "
        "payloads, also in its subject and the titles of its open approvals.",
    ),
]


async def _wanted(
    principal: Who,
    state: Annotated[
        list[RunState],
        Query(
            description="Any of these: a status, or what a waiting run waits for. `waiting` is a wait without a word of its own."
        ),
    ] = [],  # noqa: B006
    status: Annotated[list[RunStatus], Query(description="Any of these.")] = [],  # noqa: B006
    waiting_on: Annotated[list[WaitingOn], Query(description="Any of these.")] = [],  # noqa: B006
    ids: Annotated[list[str], Query(max_length=MAX_IDS, description="Only these runs, as far as they exist.")] = [],  # noqa: B006
    workflow: Annotated[list[str], Query(max_length=MAX_WORKFLOWS, description="Any of these.")] = [],  # noqa: B006
    version: Annotated[
        str | None, Query(min_length=1, max_length=300, description="Of the workflow, which must be given too.")
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
            description="Of the run; together with `state`, `status`, `waiting_on` or `workflow`.",
        ),
    ] = None,
    stuck: Annotated[
        bool | None, Query(description="The run waits for a worker, or its workflow task keeps failing.")
    ] = None,
    started_after: Moment | None = None,
    started_before: Moment | None = None,
    closed_after: Moment | None = None,
    closed_before: Moment | None = None,
    duration_over: Annotated[
        float | None,
        Query(
            ge=0,
            le=LONGEST_SECONDS,
            allow_inf_nan=False,
            description="Seconds. Only runs that took, or have taken so far, longer.",
        ),
    ] = None,
    q: Words = None,
) -> RunFilter:
    for before, after, name in (
        (started_after, started_before, "started"),
        (closed_after, closed_before, "closed"),
    ):
        if not views.within(before, after):
            fault = InvalidPlace(pointer=f"{name}_before", message=f"must not be before {name}_after")
            raise InvalidInput("the time range is reversed", [fault])
    if version is not None and not workflow:
        fault = InvalidPlace(pointer="version", message="give the workflow too: `workflow=`")
        raise InvalidInput("a version is one of a workflow", [fault])
    if task_queue is not None and not (state or status or waiting_on or workflow):
        fault = InvalidPlace(pointer="task_queue", message="give `state`, `status`, `waiting_on` or `workflow` too")
        raise InvalidInput("a task queue alone would search all runs", [fault])
    states, statuses, waits = _plain(state, status, waiting_on)
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


Parts = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _plain(state: list[RunState], status: list[RunStatus], waiting_on: list[WaitingOn]) -> Parts:
    """The states, statuses and waits. States that are all statuses are asked for as these, which indexes hold in order."""
    if state and not status and not {*WAITS, RunState.STUCK} & set(state):
        return (), tuple(dict.fromkeys(each.value for each in state)), tuple(waiting_on)
    return tuple(dict.fromkeys(state)), tuple(status), tuple(waiting_on)


Wanted = Annotated[RunFilter, Depends(_wanted)]
