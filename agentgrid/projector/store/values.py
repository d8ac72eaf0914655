"""What the store reads and what it is given to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agentgrid.projector.fold.row_changes import RowChanges
from agentgrid.projector.fold.state import FoldState
from agentgrid.temporal.history import ExecutionId

if TYPE_CHECKING:
    import asyncpg

    # The stubs' classes take a parameter that the real ones don't.
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How far the projection has read an execution."""

    state: FoldState
    replace: bool = False
    """Its rows are of another version of the fold, or are to be checked: all are written again."""
    live_checked_at: datetime | None = None
    run_id: str | None = None
    """Its run, which never changes; None where the execution is new."""


@dataclass(frozen=True, kw_only=True)
class LiveReport:
    """What Temporal last reported about an open execution."""

    steps: dict[int, dict[str, Any]]
    """The `live_*` columns of its open activities."""
    task_attempt: int | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The whole history of a closed execution, compressed."""

    events: bytes
    event_count: int


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """One pass over one execution, ready to be written."""

    execution: ExecutionId
    base: int
    """The event id that the pass began after."""
    state: FoldState
    changes: RowChanges
    run_id: str | None = None
    """The execution's run, if that is known."""
    replace: bool = False
    rewound: bool = False
    """History is shorter than what was projected of it: what is stored must give way although it is further on."""
    reset_to: str | None = None
    """What describe says of a closed execution: the reset that took its place."""
    archive: Archive | None = None
    live: LiveReport | None = None


@dataclass(kw_only=True)
class Committed:
    """What a batch came to."""

    accepted: set[str] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    """How many rows of each execution were new or differed: after a check, how far the tables had drifted."""
