"""The only writer of columns derived from history.

A batch is one transaction. It locks the runs, then the executions, each in order of their ids. A pass is written only if the execution is
still where the pass began (compare-and-set on `last_event_id`); otherwise it is dropped, because another projector has done the work. All
writes are idempotent bulk upserts. Events for live readers are appended last, under their lock. The rows can be rebuilt from history, so
commits don't wait for the disk (`synchronous_commit = off`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from agentgrid.projector.fold import FOLD_VERSION
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.store import attribution, beginnings, contents, effects, runs
from agentgrid.projector.store.batch import Batch
from agentgrid.projector.store.effects import enqueue
from agentgrid.projector.store.values import Archive, CommitResult, FoldResult, LiveReport, LoadedState

__all__ = ["Archive", "CommitResult", "FoldResult", "LiveReport", "LoadedState", "Store", "enqueue", "load_state"]

TRIES = 3


class Store:
    """Reads and writes the projection through a pool of connections."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], namespace: str) -> None:
        self.pool = pool
        self.namespace = namespace

    async def write(self, items: Sequence[FoldResult]) -> list[bool]:
        """Commit, with retries after conflicts with another projector. Returns for each pass whether it was written; False if it was overtaken."""
        for attempt in range(1, TRIES + 1):
            try:
                committed = await self.commit(items)
                return [item.execution.execution_id in committed.accepted for item in items]
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError):
                if attempt == TRIES:
                    raise
        raise AssertionError("unreachable")

    async def commit(self, items: Sequence[FoldResult]) -> CommitResult:
        """Write passes in one transaction. Raises the database's errors, and then has written nothing."""
        ordered = sorted(items, key=lambda item: item.execution.execution_id)
        async with self.pool.acquire() as connection, connection.transaction():
            batch = Batch(db=connection, namespace=self.namespace, items=ordered)
            await beginnings.find_runs(batch)
            before = await runs.lock(batch)
            await _accept(batch)
            if batch.items:
                await attribution.check_claims(batch)
                await contents.write(batch)
                fixed, started = await beginnings.fixed_columns(batch)
                after = await runs.derive(batch, fixed)
                await runs.write_parents(batch)
                await effects.settle(batch, started, before, after)
                await effects.enqueue_outdated(batch)
                await effects.enqueue_followers(batch)
                await effects.append_events(batch, before, after)
            return batch.committed

    async def archives(self, execution_ids: Collection[str]) -> dict[str, Archive]:
        """The archives of these executions, by id, for those that have one."""
        records = await self.pool.fetch(
            "SELECT execution_id, events, event_count FROM histories WHERE execution_id = ANY($1)", list(execution_ids)
        )
        return {
            record["execution_id"]: Archive(events=record["events"], event_count=record["event_count"])
            for record in records
        }

    async def note_unknown(self, execution_id: str) -> None:
        """Note on an open execution that Temporal no longer knows it."""
        await self.pool.execute(
            "UPDATE executions SET live_problem = 'Temporal no longer knows this execution' "
            "WHERE execution_id = $1 AND status = 'running'",
            execution_id,
        )

    async def keep(self, name: str, value: Mapping[str, Any]) -> None:
        """Store a part of the projector's own state under this name, in `projector_state`."""
        await self.pool.execute(
            "INSERT INTO projector_state (name, value, updated_at) VALUES ($1, $2::json, now()) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = now()",
            name,
            json.dumps(value),
        )


def load_state(record: asyncpg.Record) -> LoadedState:
    """The stored state of an execution; a fresh one if it has no row or was folded by another version."""
    key, run_id, version = record["execution_id"], record["run_id"], record["fold_version"]
    if run_id is None:
        return LoadedState(state=FoldState(execution_id=key))
    if version != FOLD_VERSION or record["fold_state"] is None:
        return LoadedState(state=FoldState(execution_id=key), run_id=run_id, replace=True)
    state = FoldState.load(json.loads(record["fold_state"]))
    return LoadedState(state=state, run_id=run_id, live_checked_at=record["live_checked_at"])


async def _accept(batch: Batch) -> None:
    """Keep the passes whose executions are still where the pass began."""
    records = await batch.db.fetch(
        "SELECT execution_id, last_event_id, fold_version FROM executions WHERE execution_id = ANY($1) "
        "ORDER BY execution_id FOR UPDATE",
        [item.execution.execution_id for item in batch.items],
    )
    stored = {record["execution_id"]: record for record in records}
    batch.items = [item for item in batch.items if _accepts(item, stored.get(item.execution.execution_id))]
    batch.committed.accepted = {item.execution.execution_id for item in batch.items}
    batch.committed.written = dict.fromkeys(batch.committed.accepted, 0)


def _accepts(item: FoldResult, stored: asyncpg.Record | None) -> bool:
    if stored is None:
        return False
    if item.rewound:
        return bool(item.base == stored["last_event_id"])
    if item.replace:
        return bool(item.state.last_event_id >= stored["last_event_id"] or stored["fold_version"] != FOLD_VERSION)
    return bool(stored["last_event_id"] == item.base)
