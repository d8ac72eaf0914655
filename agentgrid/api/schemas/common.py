"""Shared schemas: base models, pages, problems and actions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints
from typing_extensions import TypeAliasType, TypedDict  # pydantic needs these before Python 3.12

Item = TypeVar("Item")

MAX_TEXT = 4_000
MAX_NAME = 255

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
"""A short name, tag, reference or identifier."""

Prose = Annotated[str, StringConstraints(max_length=MAX_TEXT)]
"""Text written by a person: a note, a reason, a comment."""

Flag = Annotated[bool, Strict()]
"""A strict boolean: strings and numbers are not accepted."""

Whole = Annotated[int, Strict()]
Seconds = Annotated[float, Strict()]


def _is_number(text: str) -> bool:
    """Also true for exponents, such as `4e-2`."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written_out(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and _is_number(value)):
        raise ValueError("must be an RFC 3339 time, such as 2030-01-31T09:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
"""A time with an offset. Numbers are refused: a mistyped year would be accepted as seconds, a time in 1970."""


class WholeValue(TypedDict):
    """One value, as JSON."""

    form: Literal["value"]
    size: int
    value: Any


class WholeValues(TypedDict):
    """Zero or several values, as JSON: the arguments of a call that doesn't take exactly one."""

    form: Literal["values"]
    size: int
    arity: int
    values: list[Any]


class Preview(TypedDict):
    """The beginning of a value that is too long: 32 KiB, or 256 KiB for the arguments of a call. The whole value can be downloaded."""

    form: Literal["preview"]
    size: int
    preview: str
    truncated: Literal[True]


class OpaqueValue(TypedDict):
    """A value that can't be decoded here, for example because its codec's key is missing."""

    form: Literal["opaque"]
    size: int
    encoding: str
    opaque: Literal[True]


StoredPayload = TypeAliasType(
    "StoredPayload",
    Annotated[WholeValue | WholeValues | Preview | OpaqueValue, Field(discriminator="form")],
)
"""A payload as AgentGrid stores it (`temporal/payloads.py`), tagged with its form."""


class Out(BaseModel):
    """A part of a response. Every field is always present, including those with defaults."""

    model_config = ConfigDict(from_attributes=True, frozen=True, json_schema_serialization_defaults_required=True)


class Sparse(Out):
    """A part of a response that omits null fields."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)


class In(BaseModel):
    """A request body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reason(In):
    """The reason, stored in the audit log."""

    reason: Prose | None = None


class SwitchOut(Out):
    """A kill switch. It works independently of rules."""

    disabled: bool = Field(description="If true, every call is denied; a disabled workflow can't be started.")
    reason: str = ""
    created_by: str | None = Field(None, description="Who last changed it.")
    created_at: datetime | None = None

    @classmethod
    def of(cls, row: object | None) -> SwitchOut:
        """The newest setting of a switch; None means it was never set."""
        return cls(disabled=False) if row is None else cls.model_validate(row)


class Page(Out, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(
        None, description="Pass it as `cursor` to get the next page; null on the last page."
    )


class ActionVerb(StrEnum):
    """What a caller may do to a run, an approval, a workflow, a tool or an agent."""

    CANCEL = "cancel"
    TERMINATE = "terminate"
    PAUSE = "pause"
    RESUME = "resume"
    INTERRUPT = "interrupt"
    SIGNAL = "signal"
    UPDATE = "update"
    APPROVE = "approve"
    REJECT = "reject"
    START = "start"
    POLICY = "policy"
    DISABLE = "disable"
    ENABLE = "enable"
    EDIT = "edit"
    USE = "use"


class Action(Out):
    """One verb, whether this caller may do it now, and why not."""

    verb: ActionVerb
    allowed: bool
    reason: str | None = None


class FaultOut(Out):
    """One invalid place in a request."""

    pointer: str = Field(description="A JSON pointer into the body, or the name of a parameter.")
    message: str


class Problem(Sparse):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable. Programs should compare this, not the text.")
    detail: str
    faults: list[FaultOut] = []
    current_status: str | None = Field(
        None, description="For a conflict: the current state, which does not allow the request."
    )
    outcome_unknown: bool | None = Field(
        None, description="True if the request may nevertheless have been carried out."
    )
    command_id: str | None = Field(None, description="The command that records the request, even if it was refused.")


class ErrorOut(Out):
    """A failure as recorded in history. Callers who may not read payloads see only its class (`type`), none of its text."""

    type: str | None = None
    message: str | None = None
    retryable: bool | None = None
    at: str | None = Field(
        None,
        description="Where it was raised in the project's Python code, as `file:line in function`. Unknown for other SDKs.",
    )
    stack: str | None = None
    details: Any = None
    cause: ErrorOut | None = None
