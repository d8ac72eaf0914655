"""The beginnings of runs: the run of each execution, and the columns that the first event of a run's first execution fixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.memos import ScheduleMemo
from agentgrid.projector import identity, rows
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.row_changes import Settlement
from agentgrid.projector.identity import SignedMemo
from agentgrid.projector.store import statements
from agentgrid.projector.store.batch import Batch
from agentgrid.projector.store.values import FoldResult
from agentgrid.protocol import RunMemo

SCHEDULE_COMMANDS = "schedule."
"""Prefix of the kinds of all commands about schedules."""


async def find_runs(batch: Batch) -> None:
    """Find the run of every execution, and insert rows for new runs and executions."""
    batch.run_of = {item.execution.execution_id: item.run_id for item in batch.items if item.run_id is not None}
    new = [item for item in batch.items if item.run_id is None and item.changes.started is not None]
    if not new:
        return
    await _find_chains(batch, new)
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


async def _find_chains(batch: Batch, new: Sequence[FoldResult]) -> None:
    chains: dict[tuple[str, str], list[FoldResult]] = {}
    for item in new:
        chains.setdefault((item.execution.workflow_id, item.state.first_execution_id), []).append(item)
    records = await batch.db.fetch(
        # One index lookup per chain: with a plain join, the planner may read the whole namespace.
        "SELECT r.* FROM unnest($2::text[], $3::text[]) AS c(workflow_id, first) CROSS JOIN LATERAL ("
        "SELECT run_id, workflow_id, first_execution_id FROM runs WHERE namespace = $1 "
        "AND workflow_id = c.workflow_id AND first_execution_id = c.first LIMIT 1) AS r",
        batch.namespace,
        [key[0] for key in chains],
        [key[1] for key in chains],
    )
    run_ids = {(record["workflow_id"], record["first_execution_id"]): record["run_id"] for record in records}
    inserted = await _insert(batch, [items[0] for key, items in chains.items() if key not in run_ids])
    for key, items in chains.items():
        for item in items:
            batch.run_of[item.execution.execution_id] = run_ids.get(key) or inserted[key[1]]


async def _insert(batch: Batch, firsts: Sequence[FoldResult]) -> dict[str, str]:
    """The runs of chains seen for the first time, by first execution: the queued run that a memo names, or a new one."""
    beginnings: dict[str, dict[str, Any]] = {}
    without_memo: dict[str, dict[str, Any]] = {}
    for item in firsts:
        memo, first = await _memo(batch, item), item.state.first_execution_id
        if isinstance(memo, RunMemo) and memo.run_id not in beginnings:
            beginnings[memo.run_id] = _beginning(batch, item, run_id=memo.run_id, memo=memo)
            without_memo[first] = _beginning(batch, item, run_id=first, memo=None)
        else:
            # A schedule's memo names no run, so the run takes the id of its first execution, like a run not started by AgentGrid.
            schedule_memo = memo if isinstance(memo, ScheduleMemo) else None
            beginnings[first] = _beginning(batch, item, run_id=first, memo=schedule_memo)
    run_ids = await _insert_rows(batch, list(beginnings.values()))
    # The run that a memo names may belong to another chain: then this chain gets its own run, as if there were no memo.
    run_ids |= await _insert_rows(batch, [row for first, row in without_memo.items() if first not in run_ids])
    for item in firsts:
        if item.state.first_execution_id not in run_ids:
            raise RuntimeError(f"run {item.state.first_execution_id} belongs to another chain of executions")
    return run_ids


def _beginning(batch: Batch, item: FoldResult, *, run_id: str, memo: SignedMemo | None) -> dict[str, Any]:
    started = item.changes.started
    assert started is not None
    row = identity.beginning(started, run_id=run_id, memo=memo)
    names = ("run_id", "workflow", "task_queue", "initiator", "issuers", "trigger", "root_run_id")
    return {name: row[name] for name in names} | {
        "namespace": batch.namespace,
        "workflow_id": item.execution.workflow_id,
        "first_execution_id": item.state.first_execution_id,
        "status": "running",
        "created_at": started.at,
        "version": memo.workflow_version if isinstance(memo, RunMemo) else None,
    }


async def _insert_rows(batch: Batch, values: Sequence[dict[str, Any]]) -> dict[str, str]:
    if not values:
        return {}
    records = await batch.db.fetch(statements.INSERT_RUNS, rows.wire("runs", values))
    return {record["first_execution_id"]: record["run_id"] for record in records}


async def _memo(batch: Batch, item: FoldResult) -> SignedMemo | None:
    """The memo of the start, if one of our signing keys signed it for this start; verified once per batch.

    A key may be revoked while an API still signs with it, and runs whose memos it signed keep their initiator. So with a revoked key, the memo
    counts only if its command confirms it. A command confirms only one run, but any number of a schedule's runs: those that start after the
    revocation don't count, because someone who stole the key could sign other memos that name the command.
    """
    started, key = item.changes.started, item.execution.execution_id
    if started is None or started.memo is None:
        return None
    if key not in batch.memos:
        memo = identity.verified(
            started,
            workflow_id=item.execution.workflow_id,
            namespace=batch.namespace,
            keys=await batch.registered_keys(),
        )
        revoked_at = (await batch.revoked_keys()).get(memo.key_id or "") if memo is not None else None
        if memo is not None and revoked_at is not None:
            too_late = isinstance(memo, ScheduleMemo) and started.at >= revoked_at
            memo = None if too_late or not await _confirmed_by_command(batch, memo) else memo
        batch.memos[key] = memo
    return batch.memos[key]


async def _confirmed_by_command(batch: Batch, memo: SignedMemo) -> bool:
    """Whether the memo's command started this run, or created or changed this schedule, for this initiator."""
    if isinstance(memo, ScheduleMemo):
        return bool(
            await batch.db.fetchval(
                "SELECT EXISTS (SELECT FROM commands WHERE command_id = $1 AND starts_with(kind, $2) AND principal = $3 "
                "AND target = $4 AND status <> $5)",
                memo.command_id,
                SCHEDULE_COMMANDS,
                memo.initiator,
                memo.schedule_id,
                CommandStatus.REFUSED.value,
            )
        )
    return bool(
        await batch.db.fetchval(
            "SELECT EXISTS (SELECT FROM commands WHERE command_id = $1 AND kind = $2 AND principal = $3 AND run_id = $4 "
            "AND status <> $5)",
            memo.command_id,
            CommandKind.RUN_START.value,
            memo.initiator,
            memo.run_id,
            CommandStatus.REFUSED.value,
        )
    )


async def fixed_columns(batch: Batch) -> tuple[dict[str, dict[str, Any]], dict[str, Settlement]]:
    """By run: the columns fixed by the first event of its first execution, and the settlement of its start command."""
    values: dict[str, dict[str, Any]] = {}
    memos: dict[str, RunMemo] = {}
    """The memos of runs begun by a start command. A schedule's command is settled when the schedule is created."""
    for item in batch.items:
        started = item.changes.started
        key = item.execution.execution_id
        if started is None or key != item.state.first_execution_id:
            continue
        run_id = batch.run_of[key]
        memo = await _memo(batch, item)
        if isinstance(memo, RunMemo) and memo.run_id != run_id:
            memo = None
        row = identity.beginning(started, run_id=run_id, memo=memo)
        row["created_at"] = started.at
        if isinstance(memo, RunMemo):
            memos[run_id] = memo
        elif memo is None and started.parent_execution_id is not None:
            # `write_parents` sets them from the parent's run once that is known.
            del row["initiator"], row["issuers"], row["root_run_id"]
        values[run_id] = row
    if memos:
        records = await batch.db.fetch(
            "SELECT command_id, created_at FROM commands WHERE command_id = ANY($1)",
            [memo.command_id for memo in memos.values()],
        )
        requested_at = {record["command_id"]: record["created_at"] for record in records}
        for run_id, memo in memos.items():
            values[run_id]["created_at"] = requested_at.get(memo.command_id, values[run_id]["created_at"])
    first = {batch.run_of[item.execution.execution_id]: item.state.first_execution_id for item in batch.items}
    settlements = {
        run_id: Settlement(
            command_id=memo.command_id,
            kind=CommandKind.RUN_START,
            status=CommandStatus.APPLIED,
            outcome={"execution_id": first[run_id]},
        )
        for run_id, memo in memos.items()
    }
    return values, settlements
