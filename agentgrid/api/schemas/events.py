"""Events of the live streams. A stream's `data` is one of StreamData: the OpenAPI document lists them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from agentgrid.api.schemas.common import Out
from agentgrid.domain.approvals import ApprovalStatus
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.domain.steps import StepKind, StepStatus


class EventOut(Out):
    """The `data` of one server-sent event; its `id` is the event's id, its `event` the kind."""

    run_id: str
    kind: Literal["run", "step", "approval", "end"]
    subject: str | None
    data: dict[str, Any]
    at: datetime


class RunChange(Out):
    """A run's state after a change."""

    status: RunStatus
    waiting_on: WaitingOn | None
    current_step: str | None
    steps_done: int
    step_count: int
    approvals_pending: int


class StepChange(Out):
    """A step's state after a change."""

    event_id: int
    execution_id: str
    kind: StepKind
    name: str
    title: str | None
    status: StepStatus
    attempts: int


class ApprovalChange(Out):
    """An approval's state after a change."""

    status: ApprovalStatus
    title: str
    tool: str | None
    expires_at: datetime | None


class RunEnd(Out):
    """How a run has ended."""

    status: RunStatus


class RunEvent(Out):
    """The event `run`: a run has changed."""

    run_id: str
    kind: Literal["run"]
    subject: None
    data: RunChange
    at: datetime


class StepEvent(Out):
    """The event `step`: a step has changed."""

    run_id: str
    kind: Literal["step"]
    subject: str = Field(description="The step: `execution_id/event_id`.")
    data: StepChange
    at: datetime


class ApprovalEvent(Out):
    """The event `approval`: an approval was opened, decided or closed."""

    run_id: str
    kind: Literal["approval"]
    subject: str = Field(description="The approval's id.")
    data: ApprovalChange
    at: datetime


class EndEvent(Out):
    """The event `end`: the run has ended. It is open again if it is reset afterwards."""

    run_id: str
    kind: Literal["end"]
    subject: None
    data: RunEnd
    at: datetime | None = Field(description="Null if the event itself is no longer stored.")


class Delta(Out):
    """A part of a model's answer."""

    execution_id: str
    agent: str
    call: str = Field(description="Names the call of the agent: the same in all its turns.")
    turn: int
    attempt: int = Field(description="Of the model request. The text of earlier attempts is void.")
    sequence: int = Field(
        description="Counts the deltas of a model request from 1; a gap means that some were lost. A number that isn't above the last one begins "
        "another request for the same turn, after an interruption or with another model: what came before is void."
    )
    text: str
    tools: list[str] = Field(description="Names of tools that the model asks for.")


class DeltaEvent(Out):
    """The event `delta`: a part of a model's answer, sent while it is being written. It has no `id`, and is not stored."""

    run_id: str
    kind: Literal["delta"]
    subject: None
    data: Delta
    at: datetime


class StreamReset(Out):
    """The event `reset`: events after the given `Last-Event-ID` are no longer stored. Reload the resources."""

    reason: str


RunStreamData = Annotated[RunEvent | StepEvent | ApprovalEvent | EndEvent | DeltaEvent, Field(discriminator="kind")]
StreamData: TypeAdapter[Any] = TypeAdapter(RunStreamData | StreamReset)
"""The `data` of any event, as JSON."""

MEDIA_TYPE = "text/event-stream"
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of server-sent events. `event` is the kind, `id` the cursor for `Last-Event-ID`, and `data` JSON as in `contentSchema`.",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "string",
                    "contentMediaType": MEDIA_TYPE,
                    "contentSchema": {"$ref": "#/components/schemas/StreamData"},
                }
            }
        },
    }
}
"""The response of a stream, for the OpenAPI document. OpenAPI 3.1 has no word for the parts of a stream."""


def stream_schemas() -> dict[str, Any]:
    """The schemas of all events, by their names in the OpenAPI document."""
    found = StreamData.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found.pop("$defs")
    return schemas | {"StreamData": {"title": "StreamData", "description": "The data of any event.", **found}}
