"""Rebuilds the projection from the archive and Temporal's histories.

Each execution is folded from its first event and its rows are replaced in one transaction, so readers see the old rows until the new ones
are there. Executions that neither Temporal nor the archive has are left as they are, because there is nothing better; so are those whose
archive can't be unpacked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from agentgrid.errors import Conflict, NotFound
from agentgrid.projector.batches import Batches
from agentgrid.projector.refold import Refolder
from agentgrid.projector.store import Archive, FoldResult, Store
from agentgrid.projector.store.opening import open_store
from agentgrid.settings import Settings
from agentgrid.temporal.client import connect
from agentgrid.temporal.history import ExecutionId, HistoryReader, TornHistory

log = structlog.get_logger(__name__)

CONCURRENCY = 32
PAGE = 500
TRIES = 5
RETRY_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class RebuildResult:
    """The result of a rebuild."""

    executions: int
    unknown: int
    """Executions left as they are: neither Temporal nor the archive has them, or their archived history can't be read."""


Progress = Callable[[int], None]


async def rebuild_projection(
    settings: Settings, *, run_ids: Collection[str] | None = None, progress: Progress | None = None
) -> RebuildResult:
    """Refold all runs, or the given ones, from their first events. Raises SettingsError, RPCError, and NotFound for an unknown run."""
    client = await connect(settings, identity="agentgrid-rebuild")
    async with open_store(settings.require_database(), settings.temporal_namespace) as store:
        refolder = Refolder(HistoryReader(client))
        executions = (
            await _of_runs(store, run_ids) if run_ids is not None else await _everything(store, refolder.reader)
        )
        return await _Rebuild(store, refolder, progress).run(executions)


async def _of_runs(store: Store, run_ids: Collection[str]) -> list[ExecutionId]:
    records = await store.pool.fetch(
        "SELECT run_id, execution_id, workflow_id FROM executions WHERE run_id = ANY($1) ORDER BY started_at",
        sorted(run_ids),
    )
    for missing in sorted(set(run_ids) - {record["run_id"] for record in records}):
        raise NotFound("run", missing)
    return [ExecutionId(workflow_id=record["workflow_id"], execution_id=record["execution_id"]) for record in records]


async def _everything(store: Store, reader: HistoryReader) -> list[ExecutionId]:
    """All executions in the archive, the tables or Temporal."""
    records = await store.pool.fetch(
        "SELECT execution_id, workflow_id FROM histories UNION SELECT execution_id, workflow_id FROM executions"
    )
    workflow_ids = {record["execution_id"]: record["workflow_id"] for record in records}
    async for execution in _visible(reader):
        workflow_ids[execution.execution_id] = execution.workflow_id
    return [ExecutionId(workflow_id=workflow_ids[key], execution_id=key) for key in sorted(workflow_ids)]


async def _visible(reader: HistoryReader) -> AsyncIterator[ExecutionId]:
    token = b""
    while True:
        answer = await reader.visible("", token=token, page=PAGE)
        for info in answer.executions:
            yield ExecutionId(workflow_id=info.execution.workflow_id, execution_id=info.execution.run_id)
        token = answer.next_page_token
        if not token:
            return


class _Rebuild:
    def __init__(self, store: Store, refolder: Refolder, progress: Progress | None) -> None:
        self._store = store
        self._refolder = refolder
        self._progress = progress
        self._commits: Batches[FoldResult, bool] = Batches(store.write)
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._done = self._unknown = 0

    async def run(self, executions: Sequence[ExecutionId]) -> RebuildResult:
        committing = asyncio.create_task(self._commits.run())
        try:
            async with asyncio.TaskGroup() as tasks:
                for first in range(0, len(executions), CONCURRENCY):
                    chunk = executions[first : first + CONCURRENCY]
                    archives = await self._store.archives([execution.execution_id for execution in chunk])
                    for execution in chunk:
                        await self._slots.acquire()
                        tasks.create_task(self._one(execution, archives.get(execution.execution_id)))
        finally:
            committing.cancel()
        return RebuildResult(executions=self._done, unknown=self._unknown)

    async def _one(self, execution: ExecutionId, archive: Archive | None) -> None:
        try:
            try:
                folded = await self._folded(execution, archive)
            except (NotFound, Conflict) as error:
                self._unknown += 1
                log.warning("execution_left_as_it_is", execution_id=execution.execution_id, error=error.message)
            else:
                await self._commits.put(folded)
                self._done += 1
            if self._progress is not None:
                self._progress(self._done + self._unknown)
        finally:
            self._slots.release()

    async def _folded(self, execution: ExecutionId, archive: Archive | None) -> FoldResult:
        for _ in range(TRIES):
            try:
                return await self._refolder.check(execution, archive)
            except TornHistory:
                await asyncio.sleep(RETRY_SECONDS)
        raise TornHistory(
            f"the history of execution {execution.execution_id} kept changing while it was read; rebuild it again later"
        )
