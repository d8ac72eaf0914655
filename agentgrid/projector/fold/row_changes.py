"""The row changes of one pass, which the store writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.projector.fold.columns import ApprovalColumns, ControlColumns, DecisionColumns, StepColumns
from agentgrid.projector.history_events import Closed, Started

Key = TypeVar("Key", int, str)
Columns = TypeVar("Columns", bound=Mapping[str, object])


@dataclass(kw_only=True)
class Table(Generic[Key, Columns]):
    """New rows by key, and changed columns of rows from earlier passes."""

    opened: dict[Key, Columns] = field(default_factory=dict)
    patched: dict[Key, Columns] = field(default_factory=dict)

    def open(self, key: Key, row: Columns) -> None:
        """Add a row."""
        self.opened[key] = row
        self.patched.pop(key, None)

    def patch(self, key: Key, columns: Columns) -> None:
        """Change columns of a row of this pass or an earlier one."""
        rows = self.opened if key in self.opened else self.patched
        rows[key] = cast(Columns, {**rows.get(key, {}), **columns})


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """The outcome of a command whose effect is in history."""

    command_id: str
    kind: CommandKind
    status: CommandStatus
    outcome: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ClaimedSender:
    """The sender that a signal claims. History can't confirm the claim: the store checks it against recorded keys and commands."""

    kind: CommandKind
    principal: str | None
    command_id: str | None
    """The command that the signal claims to carry out."""
    request_id: str | None
    """The command whose id is Temporal's request id."""
    decision: dict[str, Any] | None = None
    """The signed content of a decision."""
    public_key: str | None = None
    """The public key that the approval's terms give for the signature."""


@dataclass(frozen=True, kw_only=True)
class Fork:
    """The reset that created this execution: everything that ended before this event is a copy."""

    event_id: int
    base_execution_id: str | None
    reason: str | None


@dataclass(kw_only=True)
class RowChanges:
    """All row changes of a pass."""

    started: Started | None = None
    closed: Closed | None = None
    fork: Fork | None = None
    steps: Table[int, StepColumns] = field(default_factory=Table)
    approvals: Table[str, ApprovalColumns] = field(default_factory=Table)
    decisions: dict[int, DecisionColumns] = field(default_factory=dict)
    controls: dict[int, ControlColumns] = field(default_factory=dict)
    claims: dict[int, ClaimedSender] = field(default_factory=dict)
    """By event id: the claims of all decisions and controls in this pass, and of the decision that closed an approval."""
    settlements: list[Settlement] = field(default_factory=list)
    children: dict[str, str] = field(default_factory=dict)
    """The workflow ids of started children, by execution id."""
