"""Commands: the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypeAliasType, TypedDict  # pydantic needs these before Python 3.12

from agentgrid.api.schemas.common import FaultOut, Out
from agentgrid.domain.approvals import Judged
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.runs import RunStatus


def _open(*required: str) -> ConfigDict:
    """Allow additional fields, which depend on the command's kind. Fields that aren't required may be missing.

    The required names are repeated for the OpenAPI document: in a serialisation schema where defaults are required, pydantic would mark them all
    as required.
    """
    return ConfigDict(extra="allow", json_schema_extra={"required": ["form", *required]})


class FaultOutcome(TypedDict):
    """The command was refused, failed, or is waiting for a retry."""

    __pydantic_config__ = _open("code")  # type: ignore[misc]

    form: Literal["fault"]
    code: str
    message: NotRequired[str]
    faults: NotRequired[list[FaultOut]]


class JudgedOutcome(TypedDict):
    """A decision reached its run and was judged there."""

    __pydantic_config__ = _open("event_id", "judged")  # type: ignore[misc]

    form: Literal["judged"]
    event_id: int
    judged: Judged
    reason: NotRequired[str | None]


class ProposalOutcome(TypedDict):
    """The command needs or needed a second administrator."""

    __pydantic_config__ = _open("proposal")  # type: ignore[misc]

    form: Literal["proposal"]
    proposal: dict[str, Any]
    expires_at: NotRequired[datetime]
    confirmed_by: NotRequired[str]
    withdrawn_by: NotRequired[str]
    message: NotRequired[str]


class EndedOutcome(TypedDict):
    """The run ended before the command could take effect."""

    __pydantic_config__ = _open("run_status")  # type: ignore[misc]

    form: Literal["ended"]
    run_status: RunStatus


class FactsOutcome(TypedDict):
    """The command was carried out."""

    __pydantic_config__ = _open()  # type: ignore[misc]

    form: Literal["facts"]


CommandOutcome = TypeAliasType(
    "CommandOutcome",
    Annotated[
        FaultOutcome | JudgedOutcome | ProposalOutcome | EndedOutcome | FactsOutcome, Field(discriminator="form")
    ],
)


class CommandSummary(Out):
    """One requested change."""

    command_id: str
    kind: CommandKind
    status: CommandStatus
    principal: str
    key_id: str | None
    session_id: str | None = Field(description="The browser session used in place of the key.")
    run_id: str | None
    execution_id: str | None
    approval_id: str | None
    target: str | None
    route: str
    idempotency_key: str | None
    what: str | None = Field(
        None,
        description="The verdict of a decision, the name of a signal or update, or the effect of a rule. Only in the audit log, not in responses "
        "to changes.",
    )
    reason: str | None = Field(description="The reason given by the principal.")
    outcome: CommandOutcome | None = Field(
        description="For a refused command: `code` and, if the caller may read payloads, `message`."
    )
    address: str | None
    created_at: datetime
    delivered_at: datetime | None
    settled_at: datetime | None
    attempts: int


class UnattributedAct(Out):
    """A signal that affected a run although no registered signing key and matching command confirm who sent it."""

    signalled_at: datetime
    run_id: str
    execution_id: str
    event_id: int
    approval_id: str | None
    action: Literal["approved", "rejected", "pause", "resume", "interrupt"]
    claimed_principal: str | None = Field(description="The principal named by the signal. Unverified.")
    identity: str | None = Field(description="The client identity that the sender reported to Temporal. Unverified.")
    unattributed_because: str | None = Field(
        description="Null if the row was written by an earlier version and its run has not been folded again."
    )


class ControlOut(Out):
    """A signal that paused, resumed or interrupted an execution."""

    execution_id: str
    event_id: int
    action: Literal["pause", "resume", "interrupt"]
    principal: str | None = Field(description="Who sent it; null if no command confirms it.")
    attributed: bool
    unattributed_because: str | None
    claimed_principal: str | None = Field(description="The principal named by an unattributed signal. Unverified.")
    identity: str | None
    signalled_at: datetime
    command_id: str | None


class Proposed(CommandSummary):
    """A change that needs two administrators and was requested by the first. Nothing has changed yet."""

    confirm: str = Field(description="To confirm it, `POST` to this path as another administrator.")
    withdraw: str = Field(description="To withdraw it, `POST` to this path.")
    expires_at: datetime = Field(description="The deadline for confirming it.")


class Confirmed(CommandSummary):
    """A proposed command in its current state."""

    key: str | None = Field(
        None, description="The full API key, if the command created one. It is shown in this response only."
    )


class CommandDetail(CommandSummary):
    """One command with its request body, for callers who may read payloads."""

    body: Any = None
