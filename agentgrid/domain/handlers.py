"""A workflow's handlers: the signals, queries and updates that one version declares, and checks of names against them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RESERVED = ("agentgrid.", "__")
"""Prefixes of names that belong to AgentGrid and to Temporal's SDKs."""

SHOWN_INTERNAL_QUERIES = frozenset({"__stack_trace", "__temporal_workflow_metadata"})
"""The SDK's own queries that callers may send: they list the code's tasks and its current handlers, and no values of the run.

`__enhanced_stack_trace` is excluded because it returns source code.
"""

MAX_NAME = 255
MAX_COMPARED = 200
MAX_COMPARED_CHARACTERS = 100
SUGGESTED = 3
LISTED = 10


class HandlerKind(StrEnum):
    """The kind of message that a handler takes."""

    SIGNAL = "signal"
    QUERY = "query"
    UPDATE = "update"

    @property
    def plural(self) -> str:
        """The plural, which is also the field of `Handlers` that holds them."""
        return "queries" if self is HandlerKind.QUERY else f"{self}s"


class Fit(StrEnum):
    """What is known about a message's handler before it is sent."""

    DECLARED = "declared"
    """A handler of this name exists, and the arguments fit its schema."""
    DYNAMIC = "dynamic"
    """The workflow accepts any name; the arguments are not checked."""
    UNKNOWN = "unknown"
    """The run's version is unknown, or was registered without its handlers. Nothing was checked."""


class UpdateStage(StrEnum):
    """How far an update has come."""

    PENDING = "pending"
    """As far as is known, no worker has accepted it yet. It is sent again."""
    ACCEPTED = "accepted"
    """Its handler is running."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Its handler failed. The handler's effects before the failure remain."""
    REJECTED = "rejected"
    """The workflow refused it. It changed nothing."""
    EXPIRED = "expired"
    """No worker accepted it in time, so it is no longer sent."""
    ABANDONED = "abandoned"
    """The run, or its execution, ended before the handler did."""

    @property
    def final(self) -> bool:
        """Whether the update can't progress further."""
        return self not in (UpdateStage.PENDING, UpdateStage.ACCEPTED)


class Handler(BaseModel):
    """One named handler, as opposed to a dynamic one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    description: str = ""
    input_schema: dict[str, Any] = {}
    """The JSON Schema of its arguments, as one array. Each item's `title` is the parameter's name."""
    output_schema: dict[str, Any] | None = None


class Handlers(BaseModel):
    """The handlers of one version of a workflow."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    signals: tuple[Handler, ...] = ()
    queries: tuple[Handler, ...] = ()
    updates: tuple[Handler, ...] = ()
    dynamic: tuple[HandlerKind, ...] = ()
    """The kinds of message whose name can be anything: the workflow has a dynamic handler, or sets handlers at run time."""

    @classmethod
    def read(cls, document: Any) -> Self | None:
        """The handlers in a catalog entry; None if it has none or they are invalid. Workers write these entries."""
        try:
            return cls.model_validate(document)
        except ValidationError:
            return None

    def of(self, kind: HandlerKind) -> dict[str, Handler]:
        """The handlers of one kind, by name."""
        handlers: tuple[Handler, ...] = getattr(self, kind.plural)
        return {handler.name: handler for handler in handlers}


def is_reserved(kind: HandlerKind, name: str) -> bool:
    """Whether callers may not send a message of this name."""
    return name.startswith(RESERVED) and not (kind is HandlerKind.QUERY and name in SHOWN_INTERNAL_QUERIES)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names most similar to this one, best first. The cost is bounded."""
    if len(name) > MAX_COMPARED_CHARACTERS:
        return []
    compared = [other for other in sorted(known) if len(other) <= MAX_COMPARED_CHARACTERS][:MAX_COMPARED]
    return difflib.get_close_matches(name, compared, n=SUGGESTED, cutoff=0.6)


def unknown(kind: HandlerKind, name: str, known: Iterable[str]) -> str:
    """The error message for a name that no handler has."""
    names = sorted(known)
    if not names:
        return f"the workflow has no {kind.plural}"
    if similar := nearest(name, names):
        return f"the workflow has no {kind} with this name; did you mean {' or '.join(map(repr, similar))}?"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"the workflow has no {kind} with this name; it has {', '.join(names[:LISTED])}{more}"
