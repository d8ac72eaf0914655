"""Writes the rows that belong to one execution each: executions, steps, approvals, decisions, controls and archives."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from agentgrid.db.feed import NewEvent
from agentgrid.domain.shapes import arguments_of, shape_of, small
from agentgrid.projector.fold import FOLD_VERSION
from agentgrid.projector.fold.passing import when
from agentgrid.projector.fold.row_changes import RowChanges
from agentgrid.projector.store import asked, statements
from agentgrid.projector.store.batch import Batch
from agentgrid.projector.store.values import FoldResult

_ENDED = {
    "steps": "closed_event_id IS NOT NULL",
    "approvals": "closed_at IS NOT NULL",
    "decisions": "true",
    "controls": "true",
}
_NAMES = {"steps": "event_id", "approvals": "approval_id", "decisions": "event_id", "controls": "event_id"}


async def write(batch: Batch) -> None:
    """Write the row changes of all passes."""
    await batch.write(statements.PATCH_EXECUTIONS, "executions", [_execution(item) for item in batch.items])
    for table in _NAMES:
        await _inherit(batch, table)
    await _remove_surplus(batch)
    await _steps(batch)
    await _approvals(batch)
    await batch.write(statements.INSERT_DECISIONS, "decisions", _signals(batch, "decisions"))
    await batch.write(statements.INSERT_CONTROLS, "controls", _signals(batch, "controls"))
    await _archives(batch)


def _execution(item: FoldResult) -> dict[str, Any]:
    state, changes = item.state, item.changes
    row: dict[str, Any] = {
        "execution_id": item.execution.execution_id,
        "workflow": state.workflow,
        "task_queue": state.task_queue,
        "kind": state.kind,
        "status": state.status,
        "build": state.build,
        "started_at": when(state.started_at),
        "last_event_id": state.last_event_id,
        "last_event_at": when(state.last_event_at),
        "fold_version": FOLD_VERSION,
        "fold_state": state.dump(),
        "taken": state.task_completed is not None,
        "opaque_events": state.opaque,
        "projected_at": datetime.now(UTC),
    }
    if changes.started is not None:
        row["continued_from"] = changes.started.continued_from
    if changes.fork is not None:
        row["reset_from"] = changes.fork.base_execution_id
        row["reset_event_id"] = changes.fork.event_id - 1
        row["reset_reason"] = changes.fork.reason
    if changes.closed is not None:
        row |= {
            "closed_at": changes.closed.at,
            "continued_to": changes.closed.continued_to,
            "result": changes.closed.result,
            "error": changes.closed.error,
        }
    elif item.replace:
        row |= {"closed_at": None, "continued_to": None, "result": None, "error": None}
    if item.reset_to is not None:
        row["reset_to"] = item.reset_to
    if item.live is not None:
        row |= {
            "live_task_attempt": item.live.task_attempt,
            "live_problem": item.live.problem,
            "live_checked_at": datetime.now(UTC),
        }
    elif item.base != state.last_event_id and not item.replace:
        row |= {"live_task_attempt": None, "live_problem": None}
    return row


async def _inherit(batch: Batch, table: str) -> None:
    """Mark rows that ended in earlier passes as copies, if this pass finds that a reset created the execution."""
    forked = [item.execution.execution_id for item in batch.items if item.changes.fork is not None and item.base]
    if forked:
        await batch.db.execute(
            f"UPDATE {table} SET inherited = true WHERE execution_id = ANY($1) AND {_ENDED[table]} AND NOT inherited",  # noqa: S608
            forked,
        )


async def _remove_surplus(batch: Batch) -> None:
    """Delete rows of rewritten executions that their histories no longer produce."""
    replaced = {item.execution.execution_id: item.changes for item in batch.items if item.replace}
    if not replaced:
        return
    for table, name in _NAMES.items():
        kept = [(key, row_key) for key, changes in replaced.items() for row_key in _keys(changes, table)]
        kind = "text" if table == "approvals" else "bigint"
        removed = await batch.db.fetch(
            # EXCEPT rather than an anti-join: the projector's sessions plan only nested loops over indexes, with which a history of 10,000
            # signals kept its run locked for seven seconds.
            f"WITH gone AS (SELECT execution_id, {name} FROM {table} WHERE execution_id = ANY($1) "  # noqa: S608
            f"EXCEPT SELECT * FROM unnest($2::text[], $3::{kind}[])) DELETE FROM {table} AS t USING gone AS g "
            f"WHERE t.execution_id = g.execution_id AND t.{name} = g.{name} RETURNING t.execution_id",
            list(replaced),
            [key for key, _ in kept],
            [row_key for _, row_key in kept],
        )
        for record in removed:
            batch.committed.written[record["execution_id"]] += 1


def _keys(changes: RowChanges, table: str) -> Collection[Any]:
    if table in ("decisions", "controls"):
        return changes.decisions if table == "decisions" else changes.controls
    return changes.steps.opened if table == "steps" else changes.approvals.opened


def _split(batch: Batch, table: str, defaults: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The new rows and the patches of all passes for this table."""
    opened: list[dict[str, Any]] = []
    patched: list[dict[str, Any]] = []
    for item in batch.items:
        key = item.execution.execution_id
        changed = item.changes.steps if table == "steps" else item.changes.approvals
        opened.extend(
            {**defaults, **row, "execution_id": key, "run_id": batch.run_of[key]} for row in changed.opened.values()
        )
        patched.extend({**row, "execution_id": key, _NAMES[table]: row_key} for row_key, row in changed.patched.items())
    return opened, patched


async def _steps(batch: Batch) -> None:
    opened, patched = _split(batch, "steps", statements.STEP_DEFAULTS)
    for item in batch.items:
        if item.live is not None:
            patched.extend(
                {"execution_id": item.execution.execution_id, "event_id": key, **columns}
                for key, columns in item.live.steps.items()
            )
    written = [
        *await batch.write(statements.INSERT_STEPS, "steps", opened),
        *await batch.write(statements.PATCH_STEPS, "steps", patched),
    ]
    for record in {(record["execution_id"], record["event_id"]): record for record in written}.values():
        if not record["inherited"]:
            batch.events.append(_step_event(record))


async def _approvals(batch: Batch) -> None:
    opened, patched = _split(batch, "approvals", statements.APPROVAL_DEFAULTS)
    inputs = {
        (item.execution.execution_id, key): row.get("input")
        for item in batch.items
        for key, row in item.changes.steps.opened.items()
    }
    for row in (*opened, *patched):
        if row.get("decision_event_id") is not None:
            row |= _decided_by(batch, row["execution_id"], row["decision_event_id"])
    inputs |= await _earlier_inputs(batch, [row for row in opened if row.get("payload") is None], inputs)
    workflows = {item.execution.execution_id: item.state.workflow for item in batch.items}
    templates = await asked.templates(batch, opened)
    for row in opened:
        # The approver of a tool's call is shown the call's own input.
        if row.get("payload") is None:
            row["payload"] = inputs.get((row["execution_id"], row["step_event_id"]))
        row |= _shape(row, workflows[row["execution_id"]])
        row["asked"] = asked.of_approval(row, templates)
    written = [
        *await batch.write(statements.INSERT_APPROVALS, "approvals", opened),
        *await batch.write(statements.PATCH_APPROVALS, "approvals", patched),
    ]
    for record in {(record["execution_id"], record["approval_id"]): record for record in written}.values():
        if not record["inherited"]:
            batch.events.append(_approval_event(record))


async def _earlier_inputs(
    batch: Batch, rows: Sequence[Mapping[str, Any]], known: Mapping[tuple[str, int], Any]
) -> dict[tuple[str, int], Any]:
    """The inputs of those calls awaiting these approvals that were scheduled in earlier passes."""
    keys = [key for row in rows if (key := (row["execution_id"], row["step_event_id"])) not in known]
    if not keys:
        return {}
    records = await batch.db.fetch(
        "SELECT s.execution_id, s.event_id, s.input::text AS input FROM unnest($1::text[], $2::bigint[]) AS k(execution_id, event_id) "
        "JOIN steps AS s ON s.execution_id = k.execution_id AND s.event_id = k.event_id WHERE s.input IS NOT NULL",
        [execution_id for execution_id, _ in keys],
        [event_id for _, event_id in keys],
    )
    return {(record["execution_id"], record["event_id"]): json.loads(record["input"]) for record in records}


def _shape(row: Mapping[str, Any], workflow: str) -> dict[str, Any]:
    """The columns for the approval's shape and its small arguments."""
    arguments = arguments_of(row["payload"], row["terms"].get("parameters", ()))
    shape = shape_of(
        tool=row["tool"], version=row["tool_version"], workflow=workflow, title=row["title"], arguments=arguments
    )
    return {"shape": shape, "arguments": small(arguments)}


def _signals(batch: Batch, table: str) -> list[dict[str, Any]]:
    """The decisions or the controls of the batch, each with its attribution."""
    return [
        {
            "inherited": False,
            **row,
            "execution_id": (key := item.execution.execution_id),
            "run_id": batch.run_of[key],
            "attributed": (reason := batch.unattributed[key, event_id]) is None,
            "unattributed_because": reason,
            "command_id": item.changes.claims[event_id].command_id if reason is None else None,
        }
        for item in batch.items
        for event_id, row in (item.changes.decisions if table == "decisions" else item.changes.controls).items()
    ]


def _decided_by(batch: Batch, execution_id: str, event_id: int) -> dict[str, Any]:
    """The columns for who decided an approval, as far as the decision is attributed."""
    item = next(item for item in batch.items if item.execution.execution_id == execution_id)
    reason, claim = batch.unattributed[execution_id, event_id], item.changes.claims[event_id]
    return {
        "attributed": reason is None,
        "unattributed_because": reason,
        "decided_by": claim.principal if reason is None else None,
        "command_id": claim.command_id if reason is None else None,
    }


async def _archives(batch: Batch) -> None:
    archived = [(item, item.archive) for item in batch.items if item.archive is not None]
    if archived:
        await batch.db.execute(
            statements.ARCHIVE,
            batch.namespace,
            [item.execution.execution_id for item, _ in archived],
            [batch.run_of[item.execution.execution_id] for item, _ in archived],
            [item.execution.workflow_id for item, _ in archived],
            [archive.event_count for _, archive in archived],
            [archive.events for _, archive in archived],
        )


def _step_event(record: asyncpg.Record) -> NewEvent:
    names = ("event_id", "execution_id", "kind", "name", "title", "status", "attempts")
    return NewEvent(
        run_id=record["run_id"],
        kind="step",
        subject=f"{record['execution_id']}/{record['event_id']}",
        data={name: record[name] for name in names},
    )


def _approval_event(record: asyncpg.Record) -> NewEvent:
    expires_at = record["expires_at"]
    return NewEvent(
        run_id=record["run_id"],
        kind="approval",
        subject=record["approval_id"],
        data={
            "status": record["status"],
            "title": record["title"],
            "tool": record["tool"],
            "expires_at": expires_at.isoformat() if expires_at is not None else None,
        },
    )
