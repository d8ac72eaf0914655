"""The sweep finds what nobody touched, and checks what is there.

Temporal's visibility is listed by start and by close time: executions of other SDKs, started, terminated or reset by hand, or whose worker
died with its touch. It lags and is not ordered, so the listings overlap by two minutes. A rolling check folds executions again from their
whole history and writes what differs: a corrupted row lives no longer than one round of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo

from agentgrid.errors import NotFound
from agentgrid.projector.decode import time_of
from agentgrid.projector.refold import Refolder
from agentgrid.projector.store import Archive, FoldResult, Store, enqueue
from agentgrid.temporal.history import ExecutionId, TornHistory

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 2.0
OVERLAP = timedelta(minutes=2)
QUICK_OVERLAP = timedelta(seconds=15)
FULL_EVERY = timedelta(seconds=30)
PAGE = 500
PER_TURN = 100
"""To list so many executions takes about 20 ms of Temporal and of this process; a list twice as long is made half as often."""
MOST_SKIPPED = 4
CHECKS = 25
"""Executions that are checked in one round."""
CURSOR = "sweep"
CHECKED = "check"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What one round of checks came to."""

    checked: int
    drifted: int
    rows: int


class Sweep:
    """One projector's sweep; several at once only waste reads."""

    def __init__(self, store: Store, refolder: Refolder) -> None:
        self._store = store
        self._refolder = refolder
        self._full_at = BEGINNING
        self._skips = 0

    async def sweep(self) -> int:
        """List what is open and has started, and what has closed, since the last time; how many were missing or behind.

        After a long list in which none was, the next turns are skipped: the touches bring what moves.
        """
        if self._skips > 0:
            self._skips -= 1
            return 0
        now = datetime.now(UTC)
        cursor = await self._cursor()
        full = now - self._full_at >= FULL_EVERY
        since = cursor - (OVERLAP if full else QUICK_OVERLAP) if cursor > BEGINNING else BEGINNING
        found = listed = 0
        for query in (
            f"StartTime >= '{since.isoformat()}' AND CloseTime IS NULL",
            f"CloseTime >= '{since.isoformat()}'",
        ):
            more, size = await self._list(query)
            found, listed = found + more, listed + size
        self._skips = 0 if found else min(listed // PER_TURN, MOST_SKIPPED)
        if full:
            self._full_at = now
        await self._store.keep(CURSOR, {"at": now.isoformat()})
        return found

    async def _cursor(self) -> datetime:
        """Where the last sweep began; the beginning of time where nothing is projected."""
        record = await self._store.pool.fetchrow(
            "SELECT (SELECT value FROM projector_state WHERE name = $1) AS value, EXISTS (SELECT FROM executions) AS any",
            CURSOR,
        )
        if record is None or record["value"] is None or not record["any"]:
            return BEGINNING
        return datetime.fromisoformat(json.loads(record["value"])["at"])

    async def _list(self, query: str) -> tuple[int, int]:
        """How many of the listed executions were missing or behind, and how many were listed."""
        found = listed = 0
        token = b""
        while True:
            answer = await self._refolder.reader.visible(query, token=token, page=PAGE)
            found += await self._compare(list(answer.executions))
            listed += len(answer.executions)
            token = answer.next_page_token
            if not token:
                return found, listed

    async def _compare(self, listed: list[WorkflowExecutionInfo]) -> int:
        """Look at those that the projection doesn't have, has as open though they closed, or has only in part."""
        if not listed:
            return 0
        running = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        paused = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED
        records = await self._store.pool.fetch(
            "SELECT v.execution_id FROM unnest($1::text[], $2::boolean[], $3::bigint[]) "
            "AS v(execution_id, closed, length) LEFT JOIN executions AS e USING (execution_id) "
            "LEFT JOIN run_changes AS c ON c.execution_id = v.execution_id AND c.due_at <= now() "
            "WHERE c.execution_id IS NULL AND (e.execution_id IS NULL "
            "OR v.closed AND (e.status = 'running' OR e.last_event_id < v.length))",
            [each.execution.run_id for each in listed],
            [each.status not in (running, paused) for each in listed],
            [each.history_length for each in listed],
        )
        missing = {record["execution_id"] for record in records}
        behind = [
            ExecutionId(workflow_id=each.execution.workflow_id, execution_id=each.execution.run_id)
            for each in sorted(listed, key=lambda info: time_of(info.start_time))
            if each.execution.run_id in missing
        ]
        if behind:
            async with self._store.pool.acquire() as connection:
                await enqueue(connection, self._store.namespace, behind)
        return len(behind)

    async def check(self, *, limit: int = CHECKS) -> Checked:
        """Fold the next few executions again from their whole history, and write what differs."""
        cursor = await self._store.pool.fetchval("SELECT value->>'after' FROM projector_state WHERE name = $1", CHECKED)
        records = await self._store.pool.fetch(
            "SELECT execution_id, workflow_id FROM executions WHERE execution_id > $1 ORDER BY execution_id LIMIT $2",
            cursor or "",
            limit,
        )
        wanted = [ExecutionId(workflow_id=each["workflow_id"], execution_id=each["execution_id"]) for each in records]
        archives = await self._store.archives([each.execution_id for each in wanted])
        folded = [await self._folded(each, archives.get(each.execution_id)) for each in wanted]
        written = await self._write([each for each in folded if each is not None])
        drifted = sum(rows > 0 for rows in written.values())
        after = records[-1]["execution_id"] if len(records) == limit else ""
        result = Checked(checked=len(records), drifted=drifted, rows=sum(written.values()))
        await self._store.keep(CHECKED, {"after": after, **asdict(result)})
        return result

    async def _folded(self, execution: ExecutionId, archive: Archive | None) -> FoldResult | None:
        try:
            return await self._refolder.check(execution, archive)
        except (NotFound, TornHistory):
            # Temporal has forgotten it, or it moves on right now: nothing to compare with.
            return None
        except Exception as error:
            # What can't be folded is the loop's to report; the check goes on with the next one.
            log.warning("check_not_made", execution_id=execution.execution_id, error=f"{type(error).__name__}: {error}")
            return None

    async def _write(self, checked: list[FoldResult]) -> dict[str, int]:
        """Write what differs; how many rows did, of each execution that had not simply grown meanwhile."""
        if not checked:
            return {}
        ids = [folded.execution.execution_id for folded in checked]
        records = await self._store.pool.fetch(
            "SELECT execution_id, last_event_id FROM executions WHERE execution_id = ANY($1)", ids
        )
        known = {record["execution_id"]: record["last_event_id"] for record in records}
        committed = await self._commit(checked)
        drift = {
            folded.execution.execution_id: committed.get(folded.execution.execution_id, 0)
            for folded in checked
            if known.get(folded.execution.execution_id) == folded.state.last_event_id
        }
        for key, rows in drift.items():
            if rows:
                log.warning("drift_repaired", execution_id=key, rows=rows)
        return drift

    async def _commit(self, checked: list[FoldResult]) -> dict[str, int]:
        try:
            return (await self._store.commit(checked)).written
        except asyncpg.PostgresError as error:
            if len(checked) > 1:
                return {key: rows for each in checked for key, rows in (await self._commit([each])).items()}
            log.warning("check_not_written", execution_id=checked[0].execution.execution_id, error=str(error))
            return {}
