"""Events of the live streams. Each `data` is one of `EventOut`; the OpenAPI document lists them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from agentgrid.api.schemas.approvals import ApprovalSummary
from agentgrid.api.schemas.commands import CommandSummary
from agentgrid.api.schemas.common import Out
from agentgrid.api.schemas.runs import RunSummary
from agentgrid.api.schemas.steps import StepSummary
from agentgrid.domain.live import EventKind
from agentgrid.domain.runs import RunStatus


class StreamEvent(Out):
    """Base of all events. All fields are required, since `kind` discriminates between them."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class InRun(StreamEvent):
    """An event about one part of a run."""

    run_id: str
    at: datetime


class OfRun(InRun):
    """An event about a run as a whole."""

    subject: None = None


class OfInstallation(StreamEvent):
    """An event that is not about a run."""

    run_id: None = None
    subject: None = None
    at: datetime


class StreamCaller(Out):
    """The principal who reads the stream."""

    name: str


class StreamBegin(Out):
    """What a stream carries and where it begins."""

    time: datetime = Field(description="The server's time.")
    version: str = Field(description="The server's version.")
    me: StreamCaller
    head: int = Field(
        description="The id of the newest stored event. The stream itself begins after the `id` of `hello`."
    )
    kinds: list[EventKind] = Field(
        description="The kinds the stream carries: those requested that the caller may read."
    )


class HelloEvent(OfInstallation):
    """The event `hello`: the stream is open. The stream begins after its `id`, which can be used to resume."""

    kind: Literal["hello"] = "hello"
    data: StreamBegin


class RunEvent(OfRun):
    """The event `run`: a run changed."""

    kind: Literal["run"] = "run"
    data: RunSummary


class StepEvent(InRun):
    """The event `step`: a step changed."""

    kind: Literal["step"] = "step"
    subject: str = Field(description="The step: `execution_id/event_id`.")
    data: StepSummary


class ApprovalEvent(InRun):
    """The event `approval`: an approval was opened, decided or closed."""

    kind: Literal["approval"] = "approval"
    subject: str = Field(description="The approval's id.")
    data: ApprovalSummary


class RunEnd(Out):
    """How a run ended."""

    status: RunStatus


class EndEvent(StreamEvent):
    """The event `end`: the run ended. It becomes open again if it is reset afterwards."""

    run_id: str
    kind: Literal["end"] = "end"
    subject: None = None
    data: RunEnd
    at: datetime | None = Field(description="Null if the event itself is no longer stored.")


class CommandEvent(StreamEvent):
    """The event `command`: a command was recorded or its status changed. Sent only to those who may see the command."""

    run_id: str | None = Field(description="The run it is about, if any.")
    kind: Literal["command"] = "command"
    subject: str = Field(description="The command's id.")
    data: CommandSummary
    at: datetime


class PolicyChange(Out):
    """The policy after a change."""

    version: int = Field(description="The version of the policy document that workers read.")


class PolicyEvent(OfInstallation):
    """The event `policy`: rules, kill switches, principals, keys or signing keys changed."""

    kind: Literal["policy"] = "policy"
    data: PolicyChange


class CatalogChange(Out):
    """Empty: reload the catalog."""


class CatalogEvent(OfInstallation):
    """The event `catalog`: a worker registered its workflows, tools and agents. It has no `id` and is not stored."""

    kind: Literal["catalog"] = "catalog"
    data: CatalogChange


class NewLogs(Out):
    """The number of new lines. Their text is at `/runs/{run_id}/logs`."""

    newest_log_id: int
    count: int


class LogEvent(OfRun):
    """The event `log`: a run has new log lines. At most one per second for each run. It has no `id` and is not stored."""

    kind: Literal["log"] = "log"
    data: NewLogs


class Delta(Out):
    """A part of a model's answer."""

    execution_id: str
    agent: str
    call: str = Field(description="Identifies the agent call: the same in all its turns.")
    turn: int
    attempt: int = Field(description="The attempt of the model request. Discard the text of earlier attempts.")
    sequence: int = Field(
        description="The number of this delta within its model request, from 1; a gap means that some were lost. If it does not increase, another "
        "request for the same turn has begun, after an interruption or with another model: discard the earlier text."
    )
    text: str
    tools: list[str] = Field(description="Names of the tools that the model calls.")


class DeltaEvent(OfRun):
    """The event `delta`: a part of a model's answer, sent while it is being written. It has no `id` and is not stored."""

    kind: Literal["delta"] = "delta"
    data: Delta


class StreamReset(StreamEvent):
    """The event `reset`: events after the given `Last-Event-ID` are no longer stored. Reload the resources."""

    kind: Literal["reset"] = "reset"
    reason: str


AnyEvent = Annotated[
    HelloEvent
    | RunEvent
    | StepEvent
    | ApprovalEvent
    | EndEvent
    | CommandEvent
    | PolicyEvent
    | CatalogEvent
    | LogEvent
    | DeltaEvent
    | StreamReset,
    Field(discriminator="kind"),
]
EventOut: TypeAdapter[Any] = TypeAdapter(AnyEvent)
"""The `data` of any event, as JSON."""

NAME = "EventOut"
SCHEMA = {"$ref": f"#/components/schemas/{NAME}"}
MEDIA_TYPE = "text/event-stream"
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of server-sent events. `event` is the kind, `id` the cursor for `Last-Event-ID`, and `data` is JSON as described by "
        "`contentSchema`.",
        "content": {
            MEDIA_TYPE: {"schema": {"type": "string", "contentMediaType": MEDIA_TYPE, "contentSchema": SCHEMA}}
        },
    }
}
"""The response of a stream in the OpenAPI document. OpenAPI 3.1 can't describe the items of a stream."""
EXTENSION: dict[str, Any] = {"x-event-schema": SCHEMA}
"""The same as an extension of the operation, for type generators."""


def stream_schemas() -> dict[str, Any]:
    """The schemas of all events, by name in the OpenAPI document."""
    schema = EventOut.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = schema.pop("$defs")
    return schemas | {NAME: {"title": NAME, "description": "The `data` of any event.", **schema}}
