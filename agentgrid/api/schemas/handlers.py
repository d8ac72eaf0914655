"""A workflow's handlers, and queries and updates to them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from agentgrid.api.schemas.common import ErrorOut, In, Out, Prose, StoredPayload
from agentgrid.domain.commands import CommandStatus
from agentgrid.domain.handlers import Fit, HandlerKind, UpdateStage

Arguments = Annotated[list[Any], Field(max_length=20, description="The handler's arguments, in order.")]


class HandlerOut(Out):
    name: str
    description: str
    input_schema: dict[str, Any] = Field(
        description="The JSON Schema of `arguments`, an array. Each item's `title` is the parameter name."
    )
    output_schema: dict[str, Any] | None = Field(
        description="Null for a signal, and if the return type is not annotated."
    )


class HandlersOut(Out):
    """The handlers of the workflow's newest version."""

    signals: list[HandlerOut]
    queries: list[HandlerOut]
    updates: list[HandlerOut]
    dynamic: list[HandlerKind] = Field(
        description="The kinds for which it accepts any name, because it has a dynamic handler or registers handlers while it runs."
    )


class QueryRequest(In):
    """The arguments of a query."""

    arguments: Arguments = []


class QueryAnswer(Out):
    """A query's result."""

    run_id: str
    name: str
    result: StoredPayload | None = Field(description="A preview if it is over 1 MiB.")


class UpdateRequest(In):
    """The arguments of an update."""

    arguments: Arguments = []
    reason: Prose | None = None


class UpdateOut(Out):
    """The state of an update."""

    run_id: str
    command_id: str = Field(description="The command that records it; also used as Temporal's update id.")
    name: str | None = Field(description="Null if it is too long to be a name.")
    handler: Fit = Field(description="How far the name and the arguments were checked before sending.")
    stage: UpdateStage = Field(
        description="`pending`: no worker has accepted it yet. `accepted`: its handler is running. All others are final: `completed`; `failed`: "
        "its handler failed; `rejected`: the workflow refused it; `expired`: no worker accepted it in time; `abandoned`: the run ended "
        "first."
    )
    command_status: CommandStatus
    result: StoredPayload | None = Field(description="A preview if it is over 1 MiB.")
    error: ErrorOut | None
