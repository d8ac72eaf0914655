"""Recorded histories as decoded events, and in-memory tables to which row changes are applied as the store does."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from google.protobuf.json_format import ParseDict
from temporalio.api.history.v1 import HistoryEvent
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.row_changes import ClaimedSender, RowChanges, Settlement
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.history_events import DecodedEvent
from tests.projector.record import HISTORIES


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One recorded execution."""

    workflow_id: str
    execution_id: str
    protos: tuple[HistoryEvent, ...]

    @property
    def events(self) -> list[DecodedEvent]:
        return decode(self.protos, pydantic_data_converter.payload_converter)


def names() -> list[str]:
    return sorted(path.name.removesuffix(".json.gz") for path in HISTORIES.glob("*.json.gz"))


@cache
def recorded(name: str) -> tuple[Recorded, ...]:
    """The executions of one recording, in the order in which they started."""
    executions = json.loads(gzip.decompress((HISTORIES / f"{name}.json.gz").read_bytes()))
    return tuple(
        Recorded(
            workflow_id=execution["workflow_id"],
            execution_id=execution["execution_id"],
            protos=tuple(ParseDict(event, HistoryEvent()) for event in execution["history"]),
        )
        for execution in executions
    )


@dataclass(kw_only=True)
class Rows:
    """The rows of one execution, as the store would write them."""

    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    approvals: dict[str, dict[str, Any]] = field(default_factory=dict)
    decisions: dict[int, dict[str, Any]] = field(default_factory=dict)
    controls: dict[int, dict[str, Any]] = field(default_factory=dict)
    claims: dict[int, ClaimedSender] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    closed: Any = None
    fork: Any = None

    def apply(self, changes: RowChanges) -> None:
        if changes.fork is not None:
            self.fork = changes.fork
            for row in self.steps.values():
                row["inherited"] = row.get("inherited") or row.get("closed_event_id") is not None
            for row in self.approvals.values():
                row["inherited"] = row.get("inherited") or row.get("closed_at") is not None
            for row in (*self.decisions.values(), *self.controls.values()):
                row["inherited"] = True
        for table, changed in ((self.steps, changes.steps), (self.approvals, changes.approvals)):
            for key, row in changed.opened.items():
                table[key] = dict(row)
            for key, row in changed.patched.items():
                table[key].update(row)
        self.decisions.update({key: dict(row) for key, row in changes.decisions.items()})
        self.controls.update({key: dict(row) for key, row in changes.controls.items()})
        self.claims.update(changes.claims)
        self.settlements.extend(changes.settlements)
        self.closed = changes.closed or self.closed

    def plain(self) -> dict[str, Any]:
        """The rows without None and False values."""
        tables = {
            "steps": self.steps,
            "approvals": self.approvals,
            "decisions": self.decisions,
            "controls": self.controls,
        }
        plain: dict[str, Any] = {
            name: {
                key: {column: value for column, value in row.items() if value not in (None, False)}
                for key, row in table.items()
            }
            for name, table in tables.items()
        }
        return plain | {
            "claims": self.claims,
            "settlements": self.settlements,
            "closed": self.closed,
            "fork": self.fork,
        }


def through_json(state: FoldState) -> FoldState:
    """The state as another process would load it."""
    return FoldState.load(json.loads(json.dumps(state.dump())))


def folded(execution_id: str, passes: Iterable[Sequence[DecodedEvent]]) -> tuple[FoldState, Rows]:
    """Fold pass after pass, with the state stored and loaded in between."""
    state, rows = FoldState(execution_id=execution_id), Rows()
    for events in passes:
        state, changes = fold(through_json(state), events)
        rows.apply(changes)
    return state, rows


def one_pass(execution: Recorded) -> tuple[FoldState, Rows]:
    return folded(execution.execution_id, [execution.events])


Shape = list[tuple[Any, ...]]
"""The steps of an execution: event id, kind, name, status, attempts, inherited."""


def shape(rows: Rows) -> Shape:
    return [
        (key, row["kind"], row["name"], row["status"], row.get("attempts", 0), bool(row.get("inherited")))
        for key, row in sorted(rows.steps.items())
    ]
