"""Group commit: passes that are ready together are written in one transaction; a poisonous one is found by writing them one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog

from agentgrid.projector.store import Committed, Folded, Store

log = structlog.get_logger(__name__)

LARGEST_BATCH = 64
TRIES = 3


class Committer:
    """One task that writes; any number of tasks that wait for their pass to be written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: asyncio.Queue[tuple[Folded, asyncio.Future[bool]]] = asyncio.Queue()

    async def write(self, folded: Folded) -> bool:
        """Whether the pass was written; False where somebody else had moved on. Raises what the database raised."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((folded, future))
        return await future

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < LARGEST_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._write(batch)

    async def _write(self, batch: Sequence[tuple[Folded, asyncio.Future[bool]]]) -> None:
        try:
            committed = await self._commit([folded for folded, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                _answer(batch[0][1], error)
                return
            log.warning("batch_written_one_by_one", size=len(batch), error=str(error))
            for each in batch:
                await self._write([each])
            return
        for folded, future in batch:
            _answer(future, folded.execution.execution_id in committed.accepted)

    async def _commit(self, batch: Sequence[Folded]) -> Committed:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._store.commit(batch)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError):
                # Two projectors met in the same runs; the other one is done by now.
                if attempt == TRIES:
                    raise
        raise AssertionError("unreachable")


def _answer(future: asyncio.Future[bool], answer: bool | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
