"""A workflow's handlers: the signals, queries and updates that one version declares, and how a name is checked against them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RESERVED = ("agentgrid.", "__")
"""Prefixes of names that belong to AgentGrid and to Temporal's SDKs."""

SHOWN_INTERNAL_QUERIES = frozenset({"__stack_trace", "__temporal_workflow_metadata"})
"""The SDK's own queries that callers may ask: the tasks of the code, and the handlers that it has now. They show no value of the run.

`__enhanced_stack_trace` is not among them: it returns the source code.
"""

MAX_NAME = 255
MAX_COMPARED = 200
MAX_COMPARED_CHARACTERS = 100
SUGGESTED = 3
LISTED = 10


class HandlerKind(StrEnum):
    """What sort of message a handler takes."""

    SIGNAL = "signal"
    QUERY = "query"
    UPDATE = "update"

    @property
    def plural(self) -> str:
        """The word for several, and the field of `Handlers` that holds them."""
        return "queries" if self is HandlerKind.QUERY else f"{self}s"


class Fit(StrEnum):
    """What is known about a message before it is sent."""

    DECLARED = "declared"
    """A handler of this name exists, and the arguments fit its schema."""
    DYNAMIC = "dynamic"
    """The workflow takes any name; the arguments are not checked."""
    UNKNOWN = "unknown"
    """The run's version is unknown, or was registered without its handlers. Nothing was checked."""


class UpdateStage(StrEnum):
    """How far an update has come."""

    PENDING = "pending"
    """No worker has accepted it yet, as far as is known. It is offered again."""
    ACCEPTED = "accepted"
    """Its handler runs."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Its handler failed. What it did before that remains."""
    REJECTED = "rejected"
    """The workflow refused it. It changed nothing."""
    EXPIRED = "expired"
    """No worker accepted it in time, so it is no longer offered."""
    ABANDONED = "abandoned"
    """The run, or its execution, ended before the handler did."""

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (UpdateStage.PENDING, UpdateStage.ACCEPTED)


class Handler(BaseModel):
    """One handler with a name of its own."""

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
    """The kinds of message of which it takes any name: it has a dynamic handler, or sets handlers while it runs."""

    @classmethod
    def read(cls, document: Any) -> Self | None:
        """The handlers in a catalog entry; None if it has none, or not in this form. A worker wrote the entry."""
        try:
            return cls.model_validate(document)
        except ValidationError:
            return None

    def of(self, kind: HandlerKind) -> dict[str, Handler]:
        """The handlers of one kind, by name."""
        found: tuple[Handler, ...] = getattr(self, kind.plural)
        return {handler.name: handler for handler in found}


def is_reserved(kind: HandlerKind, name: str) -> bool:
    """Whether a message of this name can't be sent by callers."""
    return name.startswith(RESERVED) and not (kind is HandlerKind.QUERY and name in SHOWN_INTERNAL_QUERIES)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names that are most like this one, best first. The cost is bounded."""
    if len(name) > MAX_COMPARED_CHARACTERS:
        return []
    compared = [each for each in sorted(known) if len(each) <= MAX_COMPARED_CHARACTERS][:MAX_COMPARED]
    return difflib.get_close_matches(name, compared, n=SUGGESTED, cutoff=0.6)


def unknown(kind: HandlerKind, name: str, known: Iterable[str]) -> str:
    """The message about a name that no handler has."""
    names = sorted(known)
    if not names:
        return f"the workflow takes no {kind.plural}"
    if alike := nearest(name, names):
        return f"the workflow has no {kind} of this name; did you mean {' or '.join(map(repr, alike))}?"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"the workflow has no {kind} of this name; it has {', '.join(names[:LISTED])}{more}"
