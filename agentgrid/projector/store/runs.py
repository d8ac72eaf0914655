"""Runs: whose an execution is, what its beginning fixes, and what follows from all of its executions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from agentgrid.domain.commands import CommandStatus
from agentgrid.projector import chain, identity, rows
from agentgrid.projector.chain import Link, LiveStep
from agentgrid.projector.fold.changes import Settlement
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.state import State
from agentgrid.projector.store import statements
from agentgrid.projector.store.batch import Batch
from agentgrid.projector.store.values import Folded

if TYPE_CHECKING:
    from agentgrid.projector.store.values import Connection

Before = dict[str, asyncpg.Record]
After = dict[str, dict[str, Any]]


# --- which run -----------------------------------------------------------------------------------------------------


async def find(batch: Batch) -> None:
    """The run of every execution; new runs and executions get their rows."""
    known = await batch.db.fetch(
        "SELECT execution_id, run_id FROM executions WHERE execution_id = ANY($1)",
        [item.execution.execution_id for item in batch.items],
    )
    batch.run_of = {record["execution_id"]: record["run_id"] for record in known}
    new = [
        item
        for item in batch.items
        if item.execution.execution_id not in batch.run_of and item.changes.started is not None
    ]
    if not new:
        return
    await _insert_all(batch, new)
    values = [
        {
            "execution_id": item.execution.execution_id,
            "run_id": batch.run_of[item.execution.execution_id],
            "namespace": batch.namespace,
            "workflow_id": item.execution.workflow_id,
            "first_execution_id": item.state.first_execution_id,
            "workflow": item.state.workflow,
            "task_queue": item.state.task_queue,
            "kind": item.state.kind,
            "status": "running",
            "started_at": when(item.state.started_at),
        }
        for item in new
    ]
    names = ", ".join(values[0])
    await batch.db.execute(
        f"INSERT INTO executions ({names}) SELECT {names} "  # noqa: S608
        "FROM json_populate_recordset(NULL::executions, $1::json) ORDER BY execution_id ON CONFLICT DO NOTHING",
        rows.wire("executions", values),
    )


async def _insert_all(batch: Batch, new: Sequence[Folded]) -> None:
    chains: dict[tuple[str, str], list[Folded]] = {}
    for item in new:
        chains.setdefault((item.execution.workflow_id, item.state.first_execution_id), []).append(item)
    records = await batch.db.fetch(
        "SELECT r.run_id, r.workflow_id, r.first_execution_id FROM runs AS r "
        "JOIN unnest($2::text[], $3::text[]) AS c(workflow_id, first) "
        "ON r.namespace = $1 AND r.workflow_id = c.workflow_id AND r.first_execution_id = c.first",
        batch.namespace,
        [key[0] for key in chains],
        [key[1] for key in chains],
    )
    known = {(record["workflow_id"], record["first_execution_id"]): record["run_id"] for record in records}
    for key in sorted(set(chains) - set(known), key=lambda key: key[1]):
        known[key] = await _insert(batch, chains[key][0])
    for key, items in chains.items():
        for item in items:
            batch.run_of[item.execution.execution_id] = known[key]


async def _insert(batch: Batch, item: Folded) -> str:
    """The run of a chain seen for the first time: the queued one that its memo names, or a new one."""
    started = item.changes.started
    assert started is not None
    memo = identity.verified(started, item.execution.workflow_id, await batch.signing_keys())
    first = item.state.first_execution_id
    for run_id in (memo.run_id, first) if memo is not None else (first,):
        mine = memo if memo is not None and run_id == memo.run_id else None
        row = identity.beginning(started, run_id=run_id, memo=mine)
        taken = await batch.db.fetchval(
            statements.INSERT_RUN,
            run_id,
            batch.namespace,
            item.execution.workflow_id,
            first,
            rows.text(started.workflow),
            rows.text(started.task_queue),
            started.at,
            rows.text(row["initiator"]),
            row["trigger"],
            mine.workflow_version if mine is not None else None,
        )
        if taken is not None:
            return str(taken)
    raise RuntimeError(f"run {first} belongs to another chain of executions")


async def lock(batch: Batch) -> Before:
    """Lock the batch's runs, and those of children whose parents are told of here; what live readers saw of them."""
    wanted = set(batch.run_of.values()) | {child for item in batch.items for child in item.changes.children}
    records = await batch.db.fetch(
        f"SELECT run_id, {', '.join(statements.SHOWN)} FROM runs WHERE run_id = ANY($1) ORDER BY run_id FOR UPDATE",  # noqa: S608
        sorted(wanted),
    )
    return {record["run_id"]: record for record in records}


# --- what the beginning fixes ----------------------------------------------------------------------------------------


async def write_beginnings(batch: Batch) -> list[Settlement]:
    """What the first execution's first event says of its run; the starts that are now known to have been carried out."""
    values: list[dict[str, Any]] = []
    settled: list[Settlement] = []
    for item in batch.items:
        started = item.changes.started
        key = item.execution.execution_id
        if started is None or key != item.state.first_execution_id:
            continue
        run_id = batch.run_of[key]
        memo = identity.verified(started, item.execution.workflow_id, await batch.signing_keys())
        if memo is not None and memo.run_id != run_id:
            memo = None
        row = identity.beginning(started, run_id=run_id, memo=memo)
        row["created_at"] = started.at
        if memo is not None:
            asked_at = await batch.db.fetchval("SELECT created_at FROM commands WHERE command_id = $1", memo.command_id)
            row["created_at"] = asked_at or started.at
            outcome = {"execution_id": key}
            settled.append(Settlement(command_id=memo.command_id, status=CommandStatus.APPLIED, outcome=outcome))
        if started.parent_execution_id is not None and memo is None:
            # Both follow from the parent's run as soon as that is known; the header says them only until then.
            del row["initiator"], row["root_run_id"]
        values.append(row)
    if values:
        await batch.db.execute(statements.PATCH_RUNS, rows.wire("runs", values))
    return settled


async def write_parents(batch: Batch) -> None:
    """Children know their parent's execution, parents their children's: whichever is written later joins them."""
    parent_of = {
        batch.run_of[item.execution.execution_id]: item.state.parent_execution_id
        for item in batch.items
        if item.state.parent_execution_id is not None
    }
    for item in batch.items:
        parent_of |= dict.fromkeys(item.changes.children, item.execution.execution_id)
    if parent_of:
        await batch.db.execute(statements.JOIN_PARENTS, list(parent_of), list(parent_of.values()))


# --- what follows from the executions --------------------------------------------------------------------------------


async def derive(batch: Batch) -> After:
    """Derive each run of the batch from all of its executions."""
    links = await _links(batch.db, sorted({batch.run_of[item.execution.execution_id] for item in batch.items}))
    live = await _live_steps(batch.db, [each for chained in links.values() for each in chained])
    derived = {run_id: chain.derive(chained, live) for run_id, chained in links.items()}
    left_behind = {key: to for each in derived.values() for key, to in each.left_behind.items()}
    if left_behind:
        await batch.db.execute(statements.LEAVE_BEHIND, list(left_behind), list(left_behind.values()))
    after = {
        run_id: {name: rows.plain(value) for name, value in each.columns.items()} for run_id, each in derived.items()
    }
    values = [{"run_id": run_id, **columns} for run_id, columns in after.items()]
    changed = _ids(await batch.db.fetch(statements.PATCH_RUNS, rows.wire("runs", values)))
    changed |= _ids(await batch.db.fetch(statements.COMPLETE_RUNS, sorted(derived)))
    if changed:
        await batch.db.execute("UPDATE runs SET updated_at = now() WHERE run_id = ANY($1)", sorted(changed))
    for item in batch.items:
        key = item.execution.execution_id
        batch.committed.written[key] += batch.run_of[key] in changed
    return after


def _ids(records: Iterable[asyncpg.Record]) -> set[str]:
    return {record["run_id"] for record in records}


async def _links(db: Connection, run_ids: Sequence[str]) -> dict[str, list[Link]]:
    records = await db.fetch(
        "SELECT run_id, execution_id, status, started_at, closed_at, continued_from, continued_to, reset_from, "
        "reset_to, workflow, task_queue, build, live_task_attempt, live_problem, fold_state, "
        "CASE WHEN status <> 'running' THEN error END AS error FROM executions WHERE run_id = ANY($1)",
        run_ids,
    )
    links: dict[str, list[Link]] = {}
    for record in records:
        values = dict(record)
        run_id = values.pop("run_id")
        # Parsed here: PostgreSQL's own operators refuse a whole document for one escaped NUL in it.
        folded, error = values.pop("fold_state"), values.pop("error")
        state = State.load(json.loads(folded)) if folded is not None else State(execution_id=values["execution_id"])
        links.setdefault(run_id, []).append(
            Link(**values, state=state, error=json.loads(error) if error is not None else None)
        )
    return links


async def _live_steps(db: Connection, links: Sequence[Link]) -> dict[str, list[LiveStep]]:
    """What was said of the open activities of open executions."""
    waiting = [link.execution_id for link in links if link.state.calls]
    if not waiting:
        return {}
    records = await db.fetch(
        "SELECT execution_id, event_id, live_state, live_attempt, live_error->>'type' AS error_type, "
        "live_next_retry_at FROM steps WHERE execution_id = ANY($1) AND live_state IS NOT NULL "
        "AND status IN ('scheduled', 'running', 'waiting')",
        waiting,
    )
    found: dict[str, list[LiveStep]] = {}
    for record in records:
        said = LiveStep(
            event_id=record["event_id"],
            state=record["live_state"],
            attempt=record["live_attempt"] or 1,
            error_type=record["error_type"],
            next_retry_at=record["live_next_retry_at"],
        )
        found.setdefault(record["execution_id"], []).append(said)
    return found
