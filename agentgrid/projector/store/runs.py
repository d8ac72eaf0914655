"""Locks runs, derives them from their executions, and links them to their parents and children."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from agentgrid.projector import chain, rows
from agentgrid.projector.chain import ChainLink, LiveStep
from agentgrid.projector.fold import FOLD_VERSION
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.store import asked, statements, subjects
from agentgrid.projector.store.batch import Batch

if TYPE_CHECKING:
    from agentgrid.projector.store.values import Connection

Before = dict[str, asyncpg.Record]
After = dict[str, dict[str, Any]]


async def lock(batch: Batch) -> Before:
    """Lock the batch's runs, and those of children whose parents are recorded here. Returns the columns that live readers last saw."""
    run_ids = set(batch.run_of.values()) | {child for item in batch.items for child in item.changes.children}
    records = await batch.db.fetch(
        f"SELECT run_id, {', '.join(statements.SHOWN)} FROM runs WHERE run_id = ANY($1) ORDER BY run_id FOR UPDATE",  # noqa: S608
        sorted(run_ids),
    )
    return {record["run_id"]: record for record in records}


async def derive(batch: Batch, fixed: Mapping[str, dict[str, Any]]) -> After:
    """Derive each run of the batch from all of its executions, and write it with the columns that its beginning fixes."""
    links = await _links(batch)
    live = await _live_steps(batch.db, [link for chained in links.values() for link in chained])
    derived = {run_id: chain.derive(chained, live) for run_id, chained in links.items()}
    left_behind = {key: to for run in derived.values() for key, to in run.left_behind.items()}
    if left_behind:
        await batch.db.execute(statements.LEAVE_BEHIND, list(left_behind), list(left_behind.values()))
    asks = await asked.of_runs(batch, [key for key, run in derived.items() if run.columns["approvals_pending"]])
    after = {
        run_id: {name: rows.plain(value) for name, value in run.columns.items()} | {"asked": asks.get(run_id)}
        for run_id, run in derived.items()
    }
    values = [{**fixed.get(run_id, {}), "run_id": run_id, **columns} for run_id, columns in after.items()]
    records = await batch.db.fetch(statements.PATCH_RUNS, rows.wire("runs", values))
    changed = {record["run_id"] for record in records}
    await subjects.write(batch, [record["run_id"] for record in records if record["subject_due"]])
    for item in batch.items:
        key = item.execution.execution_id
        batch.committed.written[key] += batch.run_of[key] in changed
    return after


async def _links(batch: Batch) -> dict[str, list[ChainLink]]:
    """The executions of each run of the batch. The states just written needn't be read back.

    States of older fold versions can't be loaded. A closed execution only adds its totals to its run; an open one is noted as outdated.
    """
    written = {item.execution.execution_id: item.state for item in batch.items}
    records = await batch.db.fetch(
        "SELECT run_id, workflow_id, fold_version, execution_id, status, started_at, closed_at, continued_from, continued_to, reset_from, "
        "reset_to, workflow, task_queue, build, live_task_attempt, live_problem, "
        "CASE WHEN execution_id <> ALL($2) THEN fold_state END AS fold_state, "
        "CASE WHEN status <> 'running' THEN error END AS error FROM executions WHERE run_id = ANY($1)",
        sorted({batch.run_of[key] for key in written}),
        list(written),
    )
    links: dict[str, list[ChainLink]] = {}
    for record in records:
        values = dict(record)
        run_id, workflow_id, version = values.pop("run_id"), values.pop("workflow_id"), values.pop("fold_version")
        # Parsed in Python, because PostgreSQL's JSON operators reject a whole document for one escaped NUL.
        folded, error = values.pop("fold_state"), values.pop("error")
        key = values["execution_id"]
        state = written.get(key) or _stored_state(key, version, folded)
        if version < FOLD_VERSION and values["status"] == "running":
            batch.outdated[key] = workflow_id
        links.setdefault(run_id, []).append(
            ChainLink(**values, state=state, error=json.loads(error) if error is not None else None)
        )
    return links


def _stored_state(execution_id: str, version: int, folded: str | None) -> FoldState:
    if folded is None:
        return FoldState(execution_id=execution_id)
    load = FoldState.load if version == FOLD_VERSION else FoldState.load_totals
    return load(json.loads(folded))


async def _live_steps(db: Connection, links: Sequence[ChainLink]) -> dict[str, list[LiveStep]]:
    """What Temporal last reported about the open activities of open executions."""
    waiting = [link.execution_id for link in links if link.state.calls]
    if not waiting:
        return {}
    records = await db.fetch(
        "SELECT execution_id, event_id, live_state, live_attempt, live_error, live_next_retry_at FROM steps "
        "WHERE execution_id = ANY($1) AND live_state IS NOT NULL AND status IN ('scheduled', 'running', 'waiting')",
        waiting,
    )
    steps: dict[str, list[LiveStep]] = {}
    for record in records:
        step = LiveStep(
            event_id=record["event_id"],
            state=record["live_state"],
            attempt=record["live_attempt"] or 1,
            # Parsed in Python, for the same reason as in `_links`.
            error_type=json.loads(record["live_error"])["type"] if record["live_error"] is not None else None,
            next_retry_at=record["live_next_retry_at"],
        )
        steps.setdefault(record["execution_id"], []).append(step)
    return steps


async def write_parents(batch: Batch) -> None:
    """Link children to their parents. Each side knows the other's execution; whichever is written later sets the link."""
    parent_of = {
        batch.run_of[item.execution.execution_id]: item.state.parent_execution_id
        for item in batch.items
        if item.state.parent_execution_id is not None
    }
    for item in batch.items:
        parent_of |= dict.fromkeys(item.changes.children, item.execution.execution_id)
    if parent_of:
        await batch.db.execute(statements.JOIN_PARENTS, list(parent_of), list(parent_of.values()))
