"""The sweep finds executions that no touch reported, and checks stored ones.

It lists Temporal's visibility by start and by close time to find executions of other SDKs, those started, terminated or reset by hand, and
those whose worker died before its touch. Visibility lags and is unordered, so the listings overlap by two minutes. A rolling check refolds
executions from their whole history and repairs rows that differ, so a corrupted row lasts at most one round of checks.
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
"""Listing this many executions costs Temporal and this process about 20 ms each. A list twice as long is made half as often."""
MAX_SKIPPED = 4
CHECKS = 25
"""Executions checked per round."""
CURSOR = "sweep"
CHECKED = "check"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The result of one round of checks."""

    checked: int
    drifted: int
    rows: int


class Sweep:
    """The sweep of one projector. Several at once are harmless but waste reads."""

    def __init__(self, store: Store, refolder: Refolder) -> None:
        self._store = store
        self._refolder = refolder
        self._full_at = BEGINNING
        self._skips = 0

    async def sweep(self) -> int:
        """List the executions started or closed since the last sweep. Returns how many of them were missing or behind.

        After a long list without any, the next turns are skipped: touches report most changes.
        """
        if self._skips > 0:
            self._skips -= 1
            return 0
        now = datetime.now(UTC)
        cursor = await self._cursor()
        full = now - self._full_at >= FULL_EVERY
        since = cursor - (OVERLAP if full else QUICK_OVERLAP) if cursor > BEGINNING else BEGINNING
        behind = listed = 0
        for query in (
            f"StartTime >= '{since.isoformat()}' AND CloseTime IS NULL",
            f"CloseTime >= '{since.isoformat()}'",
        ):
            more_behind, more_listed = await self._list(query)
            behind, listed = behind + more_behind, listed + more_listed
        self._skips = 0 if behind else min(listed // PER_TURN, MAX_SKIPPED)
        if full:
            self._full_at = now
        await self._store.keep(CURSOR, {"at": now.isoformat()})
        return behind

    async def _cursor(self) -> datetime:
        """When the last sweep began; 1970 if nothing has been projected yet."""
        record = await self._store.pool.fetchrow(
            "SELECT (SELECT value FROM projector_state WHERE name = $1) AS value, EXISTS (SELECT FROM executions) AS any",
            CURSOR,
        )
        if record is None or record["value"] is None or not record["any"]:
            return BEGINNING
        return datetime.fromisoformat(json.loads(record["value"])["at"])

    async def _list(self, query: str) -> tuple[int, int]:
        """How many of the listed executions were missing or behind, and how many were listed."""
        behind = listed = 0
        token = b""
        while True:
            answer = await self._refolder.reader.visible(query, token=token, page=PAGE)
            behind += await self._enqueue_behind(list(answer.executions))
            listed += len(answer.executions)
            token = answer.next_page_token
            if not token:
                return behind, listed

    async def _enqueue_behind(self, listed: list[WorkflowExecutionInfo]) -> int:
        """Queue executions that the projection lacks, shows as open although they closed, or has only in part."""
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
            [info.execution.run_id for info in listed],
            [info.status not in (running, paused) for info in listed],
            [info.history_length for info in listed],
        )
        behind_ids = {record["execution_id"] for record in records}
        behind = [
            ExecutionId(workflow_id=info.execution.workflow_id, execution_id=info.execution.run_id)
            for info in sorted(listed, key=lambda info: time_of(info.start_time))
            if info.execution.run_id in behind_ids
        ]
        if behind:
            async with self._store.pool.acquire() as connection:
                await enqueue(connection, self._store.namespace, behind)
        return len(behind)

    async def check(self, *, limit: int = CHECKS) -> CheckResult:
        """Refold the next few executions from their whole history, and repair rows that differ."""
        cursor = await self._store.pool.fetchval("SELECT value->>'after' FROM projector_state WHERE name = $1", CHECKED)
        records = await self._store.pool.fetch(
            "SELECT execution_id, workflow_id FROM executions WHERE execution_id > $1 ORDER BY execution_id LIMIT $2",
            cursor or "",
            limit,
        )
        executions = [
            ExecutionId(workflow_id=record["workflow_id"], execution_id=record["execution_id"]) for record in records
        ]
        archives = await self._store.archives([execution.execution_id for execution in executions])
        results = [await self._folded(execution, archives.get(execution.execution_id)) for execution in executions]
        written = await self._write([result for result in results if result is not None])
        drifted = sum(rows > 0 for rows in written.values())
        after = records[-1]["execution_id"] if len(records) == limit else ""
        result = CheckResult(checked=len(records), drifted=drifted, rows=sum(written.values()))
        await self._store.keep(CHECKED, {"after": after, **asdict(result)})
        return result

    async def _folded(self, execution: ExecutionId, archive: Archive | None) -> FoldResult | None:
        try:
            return await self._refolder.check(execution, archive)
        except (NotFound, TornHistory):
            # Temporal has forgotten it, or it is changing right now: nothing to compare with.
            return None
        except Exception as error:
            # The loop reports executions that can't be folded; the check goes on with the next one.
            log.warning("check_not_made", execution_id=execution.execution_id, error=f"{type(error).__name__}: {error}")
            return None

    async def _write(self, checked: list[FoldResult]) -> dict[str, int]:
        """Write rows that differ. Returns their number per execution, without those whose history has grown meanwhile."""
        if not checked:
            return {}
        ids = [folded.execution.execution_id for folded in checked]
        records = await self._store.pool.fetch(
            "SELECT execution_id, last_event_id FROM executions WHERE execution_id = ANY($1)", ids
        )
        last_event_ids = {record["execution_id"]: record["last_event_id"] for record in records}
        committed = await self._commit(checked)
        drift = {
            folded.execution.execution_id: committed.get(folded.execution.execution_id, 0)
            for folded in checked
            if last_event_ids.get(folded.execution.execution_id) == folded.state.last_event_id
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
                return {key: rows for item in checked for key, rows in (await self._commit([item])).items()}
            log.warning("check_not_written", execution_id=checked[0].execution.execution_id, error=str(error))
            return {}
