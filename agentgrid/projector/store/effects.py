"""The effects of a batch beyond its rows: settled commands, executions to look at next, events for live readers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agentgrid.db import feed, locks
from agentgrid.db.feed import NewEvent
from agentgrid.domain import channels
from agentgrid.domain.commands import HANDLING, CommandKind
from agentgrid.domain.runs import RunStatus
from agentgrid.projector import rows
from agentgrid.projector.fold.row_changes import Settlement
from agentgrid.projector.store import statements
from agentgrid.projector.store.batch import Batch
from agentgrid.projector.store.runs import After, Before
from agentgrid.temporal.history import ExecutionId

if TYPE_CHECKING:
    from agentgrid.projector.store.values import Connection


async def settle(batch: Batch, started: Mapping[str, Settlement], before: Before, after: After) -> None:
    """Settle the commands whose effect history shows, and those that came too late for their run."""
    settlements = [*started.items(), *_settlements(batch)]
    values = [
        {
            # The sender of the message chose the id, so it may hold anything.
            "command_id": rows.text(settlement.command_id),
            "kind": settlement.kind.value,
            "run_id": run_id,
            "status": settlement.status.value,
            "outcome": settlement.outcome,
        }
        for run_id, settlement in settlements
    ]
    if values:
        await batch.db.execute(statements.SETTLE, json.dumps(values))
    ended = [run_id for run_id in after if _ends(run_id, before, after)]
    if ended:
        # A command that was delivered but left no trace in history came too late.
        kinds = [kind for kind, handling in HANDLING.items() if handling.ends_with_run]
        await batch.db.execute(statements.SUPERSEDE, ended, kinds)


def _settlements(batch: Batch) -> Iterator[tuple[str, Settlement]]:
    """The settlements found in the passes, by run. For decisions, only those whose signal is attributed."""
    for item in batch.items:
        key = item.execution.execution_id
        for settlement in item.changes.settlements:
            if (
                settlement.kind is not CommandKind.APPROVAL_DECIDE
                or batch.unattributed[key, settlement.outcome["event_id"]] is None
            ):
                yield batch.run_of[key], settlement


def _ends(run_id: str, before: Before, after: After) -> bool:
    return RunStatus(after[run_id]["status"]).closed and not RunStatus(before[run_id]["status"]).closed


async def enqueue_outdated(batch: Batch) -> None:
    """Queue open executions whose states are of older fold versions, because they may not be touched for days."""
    if batch.outdated:
        executions = [ExecutionId(workflow_id=batch.outdated[key], execution_id=key) for key in sorted(batch.outdated)]
        await enqueue(batch.db, batch.namespace, executions)


async def enqueue_followers(batch: Batch) -> None:
    """Queue successors, children and forks for an early look, because their workers may send no touches."""
    followers: dict[str, str] = {}
    for item in batch.items:
        closed = item.changes.closed
        for key in (closed.continued_to if closed is not None else None, item.reset_to):
            if key is not None:
                followers[key] = item.execution.workflow_id
        followers |= item.changes.children
        fork = item.changes.fork
        if fork is not None and fork.base_execution_id is not None:
            # A reset terminates its base execution without notifying the worker, so no touch comes.
            followers[fork.base_execution_id] = item.execution.workflow_id
    if not followers:
        return
    known = await batch.db.fetch(
        "SELECT execution_id FROM executions WHERE execution_id = ANY($1) "
        "AND NOT (status = 'running' AND reset_to IS NOT NULL)",
        list(followers),
    )
    unknown = followers.keys() - {record["execution_id"] for record in known}
    if unknown:
        await enqueue(
            batch.db,
            batch.namespace,
            [ExecutionId(workflow_id=followers[key], execution_id=key) for key in sorted(unknown)],
        )


async def enqueue(db: Connection, namespace: str, executions: Sequence[ExecutionId]) -> None:
    """Queue these executions for an immediate look; one that is being looked at is looked at again."""
    await db.execute("SELECT pg_notify($1, '')", channels.CHANGES)
    await db.execute(
        statements.ENQUEUE,
        namespace,
        [execution.execution_id for execution in executions],
        [execution.workflow_id for execution in executions],
    )


async def append_events(batch: Batch, before: Before, after: After) -> None:
    """Append events for live readers. These are the transaction's last statements, because they take the lock that all appenders share."""
    ends: list[NewEvent] = []
    for run_id, columns in sorted(after.items()):
        previous = before[run_id]
        if any(previous[name] != columns[name] for name in statements.SHOWN):
            data = {name: columns[name] for name in statements.SHOWN}
            batch.events.append(NewEvent(run_id=run_id, kind="run", data=data))
        if _ends(run_id, before, after):
            ends.append(NewEvent(run_id=run_id, kind="end", data={"status": columns["status"]}))
    if batch.events or ends:
        await batch.db.execute(locks.TAKE, locks.EVENTS)
        await batch.db.execute(feed.INSERT.format(json="$1::json"), feed.wire([*batch.events, *ends]))
