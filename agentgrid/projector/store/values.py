"""The values that the store loads and the results that it writes."""

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
class LoadedState:
    """The stored state of an execution."""

    state: FoldState
    replace: bool = False
    """Whether all rows are rewritten, because another version of the fold wrote them."""
    live_checked_at: datetime | None = None
    run_id: str | None = None
    """Its run, which never changes; None for a new execution."""


@dataclass(frozen=True, kw_only=True)
class LiveReport:
    """Temporal's last report about an open execution."""

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
    """The result of one pass over one execution, ready to be written."""

    execution: ExecutionId
    base: int
    """The last event id before the pass."""
    state: FoldState
    changes: RowChanges
    run_id: str | None = None
    """The execution's run, if known."""
    replace: bool = False
    rewound: bool = False
    """Whether history is shorter than its projection, so that the stored rows must be replaced although they are further ahead."""
    reset_to: str | None = None
    """For a closed execution, the reset that replaced it, from Describe."""
    archive: Archive | None = None
    live: LiveReport | None = None


@dataclass(kw_only=True)
class CommitResult:
    """The result of a committed batch."""

    accepted: set[str] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    """The number of new or changed rows per execution; after a check, this is the drift."""
