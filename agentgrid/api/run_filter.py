"""The filters of lists and counts of runs, as query parameters."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from agentgrid.api import views
from agentgrid.api.schemas.common import Moment
from agentgrid.db.runs import RunFilter
from agentgrid.domain.runs import RunStatus, RunTrigger, WaitingOn
from agentgrid.errors import Fault, InvalidInput

Text = Annotated[str | None, Query(min_length=1, max_length=300)]
Words = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        description="Words to find anywhere in workflow, reference, note or workflow id; or a run id, or its beginning or end.",
    ),
]


async def _wanted(
    status: Annotated[list[RunStatus], Query(description="Any of these.")] = [],  # noqa: B006
    waiting_on: Annotated[list[WaitingOn], Query(description="Any of these.")] = [],  # noqa: B006
    workflow: Text = None,
    agent: Text = None,
    tool: Text = None,
    tag: Annotated[list[str], Query(max_length=20, description="All of these.")] = [],  # noqa: B006
    reference: Text = None,
    initiator: Text = None,
    trigger: RunTrigger | None = None,
    parent: Text = None,
    workflow_id: Text = None,
    task_queue: Text = None,
    stuck: Annotated[
        bool | None, Query(description="The run waits for a worker, or its workflow task keeps failing.")
    ] = None,
    started_after: Moment | None = None,
    started_before: Moment | None = None,
    closed_after: Moment | None = None,
    q: Words = None,
) -> RunFilter:
    if not views.within(started_after, started_before):
        raise InvalidInput(
            "the time range is reversed", [Fault(pointer="started_before", message="must not be before started_after")]
        )
    return RunFilter(
        status=tuple(status),
        waiting_on=tuple(waiting_on),
        workflow=workflow,
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
        q=q,
    )


Wanted = Annotated[RunFilter, Depends(_wanted)]
