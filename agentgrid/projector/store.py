"""The one place that writes columns derived from history.

A batch is one transaction. It locks the runs, then the executions, each in the order of their ids; a pass is written only if the execution
still stands where the pass began (compare-and-set on `last_event_id`), else it is dropped: somebody else has done the work. Everything is
an idempotent upsert of many rows at once. The events for live readers come last, under their lock. What is written can be had again from
history, so nothing waits for the disk (`synchronous_commit = off`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from agentgrid.db import events as feed
from agentgrid.db.events import NewEvent
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.runs import RunStatus
from agentgrid.projector import chain, identity, rows
from agentgrid.projector.chain import Link, LiveStep
from agentgrid.projector.fold import FOLD_VERSION
from agentgrid.projector.fold.changes import Changes, Settlement
from agentgrid.projector.fold.passing import LIVE_CLEARED, when
from agentgrid.projector.fold.state import State
from agentgrid.temporal.history import Execution

if TYPE_CHECKING:
    # The stubs' classes take a parameter that the real ones don't.
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

STEP = ("execution_id", "event_id")
APPROVAL = ("execution_id", "approval_id")
EXECUTION = ("execution_id",)
RUN = ("run_id",)
LIVE = tuple(LIVE_CLEARED)

STEP_DEFAULTS = {"inherited": False, "attempts": 0, "local": False, "governed": False}
APPROVAL_DEFAULTS = {"inherited": False, "decidable": False}

_STEP_SEEN = "t.run_id, t.execution_id, t.event_id, t.kind, t.name, t.title, t.status, t.attempts, t.inherited"
_APPROVAL_SEEN = "t.execution_id, t.run_id, t.approval_id, t.status, t.title, t.tool, t.expires_at, t.inherited"

INSERT_STEPS = rows.insert("steps", key=STEP, columns=rows.columns_of("steps", but=LIVE), returning=_STEP_SEEN)
PATCH_STEPS = rows.patch("steps", key=STEP, columns=rows.columns_of("steps"), returning=_STEP_SEEN)
INSERT_APPROVALS = rows.insert(
    "approvals", key=APPROVAL, columns=rows.columns_of("approvals"), returning=_APPROVAL_SEEN
)
PATCH_APPROVALS = rows.patch("approvals", key=APPROVAL, columns=rows.columns_of("approvals"), returning=_APPROVAL_SEEN)
INSERT_DECISIONS = rows.insert(
    "decisions", key=STEP, columns=rows.columns_of("decisions"), returning="t.execution_id, t.event_id"
)
PATCH_EXECUTIONS = rows.patch(
    "executions", key=EXECUTION, columns=rows.columns_of("executions"), returning="t.execution_id"
)
PATCH_RUNS = rows.patch("runs", key=RUN, columns=rows.columns_of("runs"), returning="t.run_id")

SHOWN = ("status", "waiting_on", "current_step", "steps_done", "step_count", "approvals_pending")
"""The columns of a run whose change live readers are told of."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Where an execution stands in the projection."""

    state: State
    replace: bool = False
    """Its rows are of another version of the fold, or are to be checked: all are written anew."""
    live_checked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Live:
    """What Temporal said of an open execution when it was asked."""

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
class Folded:
    """One pass over one execution, ready to be written."""

    execution: Execution
    base: int
    """The event id that the pass began after."""
    state: State
    changes: Changes
    replace: bool = False
    reset_to: str | None = None
    """What describe says of a closed execution: the reset that took its place."""
    archive: Archive | None = None
    live: Live | None = None


@dataclass(kw_only=True)
class Committed:
    """What a batch came to."""

    accepted: set[str] = field(default_factory=set)
    written: dict[str, int] = field(default_factory=dict)
    """How many rows of each execution were new or differed: after a check, how far the tables had drifted."""


class Store:
    """Reads and writes the projection through a pool of connections."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], namespace: str) -> None:
        self.pool = pool
        self.namespace = namespace

    async def load(self, execution_ids: Sequence[str]) -> dict[str, Loaded]:
        """The state of each execution; a fresh one where there is none, or it is of another version."""
        records = await self.pool.fetch(
            "SELECT execution_id, fold_version, fold_state, live_checked_at FROM executions "
            "WHERE execution_id = ANY($1)",
            list(execution_ids),
        )
        found: dict[str, Loaded] = {}
        for record in records:
            key = record["execution_id"]
            if record["fold_version"] == FOLD_VERSION and record["fold_state"] is not None:
                state = State.load(json.loads(record["fold_state"]))
                found[key] = Loaded(state=state, live_checked_at=record["live_checked_at"])
            else:
                found[key] = Loaded(state=State(execution_id=key), replace=True)
        return {key: found.get(key, Loaded(state=State(execution_id=key))) for key in execution_ids}

    async def commit(self, batch: Sequence[Folded]) -> Committed:
        """Write a batch in one transaction. Raises what the database raises; nothing is written then."""
        ordered = sorted(batch, key=lambda item: item.execution.execution_id)
        async with self.pool.acquire() as connection, connection.transaction():
            return await _Batch(connection, self.namespace).write(ordered)


class _Batch:
    """One transaction."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._db = connection
        self._namespace = namespace
        self._committed = Committed()
        self._events: list[NewEvent] = []
        self._run_of: dict[str, str] = {}
        self._keys: dict[str, str] | None = None

    async def write(self, batch: Sequence[Folded]) -> Committed:
        await self._find_runs(batch)
        before = await self._lock_runs(batch)
        accepted = await self._accept(batch)
        if not accepted:
            return self._committed
        await self._write_executions(accepted)
        await self._write_steps(accepted)
        await self._write_approvals(accepted)
        await self._write_decisions(accepted)
        await self._write_archives(accepted)
        await self._write_facts(accepted)
        await self._write_parents(accepted)
        after = await self._write_runs({self._run_of[item.execution.execution_id] for item in accepted})
        await self._settle(accepted, before, after)
        await self._look_at_followers(accepted)
        await self._append_events(before, after)
        return self._committed

    # --- which run, and may we write ---

    async def _find_runs(self, batch: Sequence[Folded]) -> None:
        """The run of every execution; new runs and executions get their rows."""
        known = await self._db.fetch(
            "SELECT execution_id, run_id FROM executions WHERE execution_id = ANY($1)",
            [item.execution.execution_id for item in batch],
        )
        self._run_of = {record["execution_id"]: record["run_id"] for record in known}
        new = [
            item
            for item in batch
            if item.execution.execution_id not in self._run_of and item.changes.started is not None
        ]
        if not new:
            return
        await self._insert_runs(new)
        values = [
            {
                "execution_id": item.execution.execution_id,
                "run_id": self._run_of[item.execution.execution_id],
                "namespace": self._namespace,
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
        await self._db.execute(
            f"INSERT INTO executions ({names}) SELECT {names} "  # noqa: S608
            "FROM json_populate_recordset(NULL::executions, $1::json) ORDER BY execution_id ON CONFLICT DO NOTHING",
            rows.wire("executions", values),
        )

    async def _insert_runs(self, new: Sequence[Folded]) -> None:
        chains: dict[tuple[str, str], list[Folded]] = {}
        for item in new:
            chains.setdefault((item.execution.workflow_id, item.state.first_execution_id), []).append(item)
        known = await self._runs_of(list(chains))
        for chain_key in sorted(set(chains) - set(known), key=lambda key: key[1]):
            known[chain_key] = await self._insert_run(chains[chain_key][0])
        for chain_key, items in chains.items():
            for item in items:
                self._run_of[item.execution.execution_id] = known[chain_key]

    async def _runs_of(self, chains: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        records = await self._db.fetch(
            "SELECT r.run_id, r.workflow_id, r.first_execution_id FROM runs AS r "
            "JOIN unnest($2::text[], $3::text[]) AS c(workflow_id, first) "
            "ON r.namespace = $1 AND r.workflow_id = c.workflow_id AND r.first_execution_id = c.first",
            self._namespace,
            [key[0] for key in chains],
            [key[1] for key in chains],
        )
        return {(record["workflow_id"], record["first_execution_id"]): record["run_id"] for record in records}

    async def _insert_run(self, item: Folded) -> str:
        """The run of a chain seen for the first time: the queued one that its memo names, or a new one."""
        started = item.changes.started
        assert started is not None
        memo = identity.verified(started, item.execution.workflow_id, await self._signing_keys())
        first = item.state.first_execution_id
        for run_id in (memo.run_id, first) if memo is not None else (first,):
            taken = await self._db.fetchval(
                "INSERT INTO runs (run_id, namespace, workflow_id, first_execution_id, workflow, task_queue, status, "
                "created_at) VALUES ($1, $2, $3, $4, $5, $6, 'running', $7) "
                "ON CONFLICT (run_id) DO UPDATE SET first_execution_id = excluded.first_execution_id "
                "WHERE runs.first_execution_id IS NULL AND runs.workflow_id = excluded.workflow_id "
                "OR runs.first_execution_id = excluded.first_execution_id RETURNING run_id",
                run_id,
                self._namespace,
                item.execution.workflow_id,
                first,
                rows.text(started.workflow),
                rows.text(started.task_queue),
                started.at,
            )
            if taken is not None:
                return str(taken)
        raise RuntimeError(f"run {first} belongs to another chain of executions")

    async def _signing_keys(self) -> dict[str, str]:
        if self._keys is None:
            records = await self._db.fetch("SELECT key_id, public_key FROM signing_keys WHERE revoked_at IS NULL")
            self._keys = {record["key_id"]: record["public_key"] for record in records}
        return self._keys

    async def _lock_runs(self, batch: Sequence[Folded]) -> dict[str, asyncpg.Record]:
        """Lock the batch's runs, and those of children whose parents are told of here."""
        wanted = set(self._run_of.values())
        wanted |= {child for item in batch for child in item.changes.children}
        records = await self._db.fetch(
            f"SELECT run_id, created_at, {', '.join(SHOWN)} FROM runs WHERE run_id = ANY($1) "  # noqa: S608
            "ORDER BY run_id FOR UPDATE",
            sorted(wanted),
        )
        return {record["run_id"]: record for record in records}

    async def _accept(self, batch: Sequence[Folded]) -> list[Folded]:
        """The passes whose executions stand where the pass began."""
        records = await self._db.fetch(
            "SELECT execution_id, last_event_id, fold_version FROM executions WHERE execution_id = ANY($1) "
            "ORDER BY execution_id FOR UPDATE",
            [item.execution.execution_id for item in batch],
        )
        stands = {record["execution_id"]: record for record in records}
        accepted = [item for item in batch if _may(item, stands.get(item.execution.execution_id))]
        self._committed.accepted = {item.execution.execution_id for item in accepted}
        self._committed.written = dict.fromkeys(self._committed.accepted, 0)
        return accepted

    # --- rows ---

    async def _write_executions(self, accepted: Sequence[Folded]) -> None:
        await self._db.execute(PATCH_EXECUTIONS, rows.wire("executions", [_execution_row(item) for item in accepted]))
        bases = {
            item.changes.fork.base_execution_id: item.execution.execution_id
            for item in accepted
            if item.changes.fork is not None and item.changes.fork.base_execution_id is not None
        }
        if bases:
            await self._db.execute(
                "UPDATE executions AS e SET reset_to = b.reset_to FROM unnest($1::text[], $2::text[]) AS b(id, reset_to) "
                "WHERE e.execution_id = b.id AND e.reset_to IS DISTINCT FROM b.reset_to",
                list(bases),
                list(bases.values()),
            )

    async def _write_steps(self, accepted: Sequence[Folded]) -> None:
        await self._inherit("steps", accepted)
        opened, patched = self._split(accepted, "steps", STEP_DEFAULTS)
        replaced = [item for item in accepted if item.replace]
        for item in replaced:
            await self._remove("steps", "event_id", item, list(item.changes.steps.opened))
        for item in accepted:
            if item.live is not None:
                patched.extend(
                    {"execution_id": item.execution.execution_id, "event_id": key, **columns}
                    for key, columns in item.live.steps.items()
                )
        seen = [*await self._upsert(INSERT_STEPS, "steps", opened), *await self._upsert(PATCH_STEPS, "steps", patched)]
        for record in {(each["execution_id"], each["event_id"]): each for each in seen}.values():
            if not record["inherited"]:
                self._events.append(_step_event(record))

    async def _write_approvals(self, accepted: Sequence[Folded]) -> None:
        await self._inherit("approvals", accepted)
        opened, patched = self._split(accepted, "approvals", APPROVAL_DEFAULTS)
        inputs = {
            (item.execution.execution_id, key): row.get("input")
            for item in accepted
            for key, row in item.changes.steps.opened.items()
        }
        for row in opened:
            # What an approver of a tool's call is shown is the call's own input.
            if row.get("payload") is None:
                row["payload"] = inputs.get((row["execution_id"], row["step_event_id"]))
        for item in accepted:
            if item.replace:
                await self._remove("approvals", "approval_id", item, list(item.changes.approvals.opened))
        seen = [
            *await self._upsert(INSERT_APPROVALS, "approvals", opened),
            *await self._upsert(PATCH_APPROVALS, "approvals", patched),
        ]
        if opened:
            await self._db.execute(
                "UPDATE approvals AS a SET payload = s.input FROM steps AS s WHERE a.execution_id = ANY($1) "
                "AND a.payload IS NULL AND s.execution_id = a.execution_id AND s.event_id = a.step_event_id "
                "AND s.input IS NOT NULL",
                sorted({row["execution_id"] for row in opened}),
            )
        for record in {each["approval_id"]: each for each in seen}.values():
            if not record["inherited"]:
                self._events.append(_approval_event(record))

    async def _write_decisions(self, accepted: Sequence[Folded]) -> None:
        await self._inherit("decisions", accepted)
        values = [
            {
                "inherited": False,
                **row,
                "execution_id": item.execution.execution_id,
                "run_id": self._run_of[item.execution.execution_id],
            }
            for item in accepted
            for row in item.changes.decisions.values()
        ]
        for item in accepted:
            if item.replace:
                await self._remove("decisions", "event_id", item, list(item.changes.decisions))
        await self._upsert(INSERT_DECISIONS, "decisions", values)

    async def _write_archives(self, accepted: Sequence[Folded]) -> None:
        values = [
            (
                item.execution.execution_id,
                self._run_of[item.execution.execution_id],
                item.execution.workflow_id,
                self._namespace,
                item.archive.event_count,
                item.archive.events,
            )
            for item in accepted
            if item.archive is not None
        ]
        if values:
            await self._db.executemany(
                "INSERT INTO histories (execution_id, run_id, workflow_id, namespace, event_count, events) "
                "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (execution_id) DO UPDATE SET run_id = excluded.run_id, "
                "event_count = excluded.event_count, events = excluded.events "
                "WHERE histories.event_count < excluded.event_count OR histories.run_id <> excluded.run_id",
                values,
            )

    async def _inherit(self, table: str, accepted: Sequence[Folded]) -> None:
        """What had ended before this pass, in an execution that turns out to be a reset's, is a copy."""
        forked = [item.execution.execution_id for item in accepted if item.changes.fork is not None and item.base]
        if not forked:
            return
        ended = {"steps": "closed_event_id IS NOT NULL", "approvals": "closed_at IS NOT NULL", "decisions": "true"}
        await self._db.execute(
            f"UPDATE {table} SET inherited = true WHERE execution_id = ANY($1) AND {ended[table]} AND NOT inherited",  # noqa: S608
            forked,
        )

    def _split(
        self, accepted: Sequence[Folded], table: str, defaults: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        opened: list[dict[str, Any]] = []
        patched: list[dict[str, Any]] = []
        name = "event_id" if table == "steps" else "approval_id"
        for item in accepted:
            key = item.execution.execution_id
            changed = item.changes.steps if table == "steps" else item.changes.approvals
            opened.extend(
                {**defaults, **row, "execution_id": key, "run_id": self._run_of[key]} for row in changed.opened.values()
            )
            patched.extend({**row, "execution_id": key, name: each} for each, row in changed.patched.items())
        return opened, patched

    async def _upsert(self, statement: str, table: str, values: list[dict[str, Any]]) -> list[asyncpg.Record]:
        if not values:
            return []
        records = await self._db.fetch(statement, rows.wire(table, values))
        for record in records:
            self._committed.written[record["execution_id"]] += 1
        return list(records)

    async def _remove(self, table: str, name: str, item: Folded, kept: list[Any]) -> None:
        """Rows that the whole history doesn't account for."""
        kind = "bigint[]" if name == "event_id" else "text[]"
        removed = await self._db.fetch(
            f"DELETE FROM {table} WHERE execution_id = $1 AND {name} <> ALL($2::{kind}) RETURNING {name}",  # noqa: S608
            item.execution.execution_id,
            kept,
        )
        self._committed.written[item.execution.execution_id] += len(removed)

    # --- runs ---

    async def _write_facts(self, accepted: Sequence[Folded]) -> None:
        """What the first execution's first event says of its run."""
        values: list[dict[str, Any]] = []
        commands: list[Settlement] = []
        for item in accepted:
            started = item.changes.started
            key = item.execution.execution_id
            if started is None or key != item.state.first_execution_id:
                continue
            run_id = self._run_of[key]
            memo = identity.verified(started, item.execution.workflow_id, await self._signing_keys())
            if memo is not None and memo.run_id != run_id:
                memo = None
            created_at = started.at
            if memo is not None:
                asked_at = await self._db.fetchval(
                    "SELECT created_at FROM commands WHERE command_id = $1", memo.command_id
                )
                created_at = asked_at or created_at
                commands.append(
                    Settlement(command_id=memo.command_id, status=CommandStatus.APPLIED, outcome={"execution_id": key})
                )
            values.append(identity.facts(started, run_id=run_id, memo=memo, created_at=created_at))
        if values:
            await self._db.execute(PATCH_RUNS, rows.wire("runs", values))
        await self._settle_commands(commands)

    async def _write_parents(self, accepted: Sequence[Folded]) -> None:
        """Children know their parent's execution, parents their children's: whichever is written later joins them."""
        parent_of = {
            self._run_of[item.execution.execution_id]: item.state.parent_execution_id
            for item in accepted
            if item.state.parent_execution_id is not None
        }
        for item in accepted:
            parent_of |= dict.fromkeys(item.changes.children, item.execution.execution_id)
        if not parent_of:
            return
        await self._db.execute(
            "UPDATE runs AS child SET parent_run_id = parent.run_id, trigger = 'child', "
            "root_run_id = coalesce(parent.root_run_id, parent.run_id), initiator = parent.initiator "
            "FROM unnest($1::text[], $2::text[]) AS link(run_id, execution_id) "
            "JOIN executions AS e ON e.execution_id = link.execution_id JOIN runs AS parent ON parent.run_id = e.run_id "
            "WHERE child.run_id = link.run_id AND (child.parent_run_id IS DISTINCT FROM parent.run_id "
            "OR child.root_run_id IS DISTINCT FROM coalesce(parent.root_run_id, parent.run_id) "
            "OR child.initiator <> parent.initiator)",
            list(parent_of),
            list(parent_of.values()),
        )

    async def _write_runs(self, run_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Derive each run from all of its executions."""
        links = await _links(self._db, sorted(run_ids))
        live = await _live_steps(self._db, [each for chained in links.values() for each in chained])
        derived = {run_id: chain.derive(chained, live) for run_id, chained in links.items()}
        left_behind = {key: to for each in derived.values() for key, to in each.left_behind.items()}
        if left_behind:
            await self._db.execute(
                "UPDATE executions AS e SET reset_to = b.reset_to FROM unnest($1::text[], $2::text[]) AS b(id, reset_to) "
                "WHERE e.execution_id = b.id AND e.reset_to IS NULL",
                list(left_behind),
                list(left_behind.values()),
            )
        columns = {
            run_id: {name: rows.plain(value) for name, value in each.columns.items()}
            for run_id, each in derived.items()
        }
        values = [{"run_id": run_id, **each} for run_id, each in columns.items()]
        await self._db.execute(PATCH_RUNS, rows.wire("runs", values))
        await self._db.execute(
            "UPDATE runs AS r SET updated_at = now(), "
            "result = CASE WHEN r.closed_at IS NULL THEN NULL ELSE e.result END, "
            "error = CASE WHEN r.closed_at IS NULL THEN NULL ELSE e.error END, "
            "version = coalesce((SELECT b.version FROM workflow_builds AS b WHERE b.name = r.workflow "
            "AND b.build = r.build), r.version) "
            "FROM executions AS e WHERE r.run_id = ANY($1) AND e.execution_id = r.execution_id",
            sorted(derived),
        )
        return columns

    # --- commands, followers, events ---

    async def _settle(
        self,
        accepted: Sequence[Folded],
        before: dict[str, asyncpg.Record],
        after: dict[str, dict[str, Any]],
    ) -> None:
        await self._settle_commands([each for item in accepted for each in item.changes.settlements])
        ended = [
            run_id
            for run_id, columns in after.items()
            if RunStatus(columns["status"]).closed and not RunStatus(before[run_id]["status"]).closed
        ]
        if not ended:
            return
        # What was delivered and left no trace came too late.
        await self._db.execute(
            "UPDATE commands AS c SET status = 'superseded', settled_at = now(), "
            "outcome = json_build_object('run_status', r.status) FROM runs AS r "
            "WHERE c.run_id = ANY($1) AND r.run_id = c.run_id AND c.status = 'delivered' AND c.kind <> $2",
            ended,
            CommandKind.RUN_START.value,
        )

    async def _settle_commands(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        values = [
            {"command_id": each.command_id, "status": each.status.value, "outcome": each.outcome}
            for each in settlements
        ]
        await self._db.execute(
            "UPDATE commands AS c SET status = s.j->>'status', outcome = s.j->'outcome', settled_at = now(), "
            "next_attempt_at = NULL, delivered_at = coalesce(c.delivered_at, now()) "
            "FROM json_array_elements($1::json) AS s(j) "
            "WHERE c.command_id = s.j->>'command_id' AND c.status IN ('pending', 'delivered')",
            json.dumps(values),
        )

    async def _look_at_followers(self, accepted: Sequence[Folded]) -> None:
        """What follows or was started may belong to a worker that touches nothing: look at it soon."""
        followers: dict[str, str] = {}
        for item in accepted:
            closed = item.changes.closed
            for key in (closed.continued_to if closed is not None else None, item.reset_to):
                if key is not None:
                    followers[key] = item.execution.workflow_id
            followers |= item.changes.children
        if followers:
            await enqueue(
                self._db,
                self._namespace,
                [Execution(workflow_id=at, execution_id=key) for key, at in followers.items()],
            )

    async def _append_events(self, before: dict[str, asyncpg.Record], after: dict[str, dict[str, Any]]) -> None:
        ends: list[NewEvent] = []
        for run_id, columns in sorted(after.items()):
            was = before[run_id]
            if any(was[name] != columns[name] for name in SHOWN) or was["status"] == RunStatus.QUEUED.value:
                data = {name: columns[name] for name in SHOWN}
                self._events.append(NewEvent(run_id=run_id, kind="run", data=data))
            if RunStatus(columns["status"]).closed and not RunStatus(was["status"]).closed:
                ends.append(NewEvent(run_id=run_id, kind="end", data={"status": columns["status"]}))
        if self._events or ends:
            await self._db.execute(feed.LOCK)
            await self._db.execute(feed.INSERT.format(json="$1::json"), feed.wire([*self._events, *ends]))


def _may(item: Folded, stands: asyncpg.Record | None) -> bool:
    if stands is None:
        return False
    if item.replace:
        return bool(item.state.last_event_id >= stands["last_event_id"] or stands["fold_version"] != FOLD_VERSION)
    return bool(stands["last_event_id"] == item.base)


def _execution_row(item: Folded) -> dict[str, Any]:
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
        "opaque_events": state.opaque,
        "projected_at": datetime.now().astimezone(),
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
            "live_checked_at": datetime.now().astimezone(),
        }
    elif item.base != state.last_event_id:
        row |= {"live_task_attempt": None, "live_problem": None}
    return row


async def _links(db: Connection, run_ids: Sequence[str]) -> dict[str, list[Link]]:
    records = await db.fetch(
        "SELECT run_id, execution_id, status, started_at, closed_at, continued_from, continued_to, reset_from, reset_to, "
        "workflow, task_queue, build, live_task_attempt, live_problem, "
        "fold_state, CASE WHEN status <> 'running' THEN error END AS error "
        "FROM executions WHERE run_id = ANY($1)",
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
        "SELECT execution_id, event_id, live_state, live_attempt, live_error->>'type' AS error_type, live_next_retry_at FROM steps "
        "WHERE execution_id = ANY($1) AND live_state IS NOT NULL AND status IN ('scheduled', 'running', 'waiting')",
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


async def enqueue(db: Connection, namespace: str, executions: Sequence[Execution]) -> None:
    """Ask that these executions be looked at now; where one is being looked at, that it be looked at again."""
    await db.execute(
        "INSERT INTO run_changes AS c (execution_id, workflow_id, namespace) "
        "SELECT t.execution_id, t.workflow_id, $1 FROM unnest($2::text[], $3::text[]) AS t(execution_id, workflow_id) "
        "ORDER BY t.execution_id ON CONFLICT (execution_id) DO UPDATE SET generation = c.generation + 1, "
        "due_at = least(c.due_at, excluded.due_at)",
        namespace,
        [each.execution_id for each in executions],
        [each.workflow_id for each in executions],
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
