"""A workflow's handlers, and the queries and updates that are sent to them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from agentgrid.api.schemas.common import ErrorOut, In, Out, Prose, StoredPayload
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.handlers import Fit, HandlerKind, UpdateStage

Arguments = Annotated[list[Any], Field(max_length=20, description="The handler's arguments, in order.")]


class HandlerOut(Out):
    """One handler."""

    name: str
    description: str
    input_schema: dict[str, Any] = Field(
        description="The JSON Schema of `arguments`, an array. Each item's `title` is the parameter's name."
    )
    output_schema: dict[str, Any] | None = Field(
        description="Null for a signal, and where the result has no annotation."
    )


class HandlersOut(Out):
    """The handlers of the workflow's newest version."""

    signals: list[HandlerOut]
    queries: list[HandlerOut]
    updates: list[HandlerOut]
    dynamic: list[HandlerKind] = Field(
        description="The kinds of which it takes any name, because it has a dynamic handler or sets handlers while it runs."
    )


class QueryRequest(In):
    """The arguments of a query."""

    arguments: Arguments = []


class QueryAnswer(Out):
    """A query's result."""

    run_id: str
    name: str
    result: StoredPayload | None = Field(description="Over 1 MiB, a preview.")


class UpdateRequest(In):
    """The arguments of an update."""

    arguments: Arguments = []
    reason: Prose | None = None


class UpdateOut(Out):
    """What became of an update."""

    run_id: str
    command_id: str = Field(description="The command that records it; also Temporal's update id.")
    name: str | None = Field(description="Null if it is too long to be one.")
    handler: Fit = Field(description="What was checked before it was sent.")
    stage: UpdateStage = Field(
        description="`pending`: no worker has accepted it yet. `accepted`: its handler runs. The others are final: `completed`; `failed`, if its "
        "handler failed; `rejected`, if the workflow refused it; `expired`, if no worker accepted it in time; `abandoned`, if the run ended first."
    )
    command_status: CommandStatus
    result: StoredPayload | None = Field(description="Over 1 MiB, a preview.")
    error: ErrorOut | None
