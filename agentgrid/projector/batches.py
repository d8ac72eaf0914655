"""Group commit: items that are ready together are written together. If a batch fails, its items are written one by one to isolate the bad one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

LARGEST_BATCH = 64

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """One writer task; any number of tasks put items and wait until these are written.

    write: writes a batch and returns one result per item, in the same order.
    linger: awaited once the first item of a batch is ready, to let others join it.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        linger: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._write = write
        self._linger = linger
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]]] = asyncio.Queue()

    async def put(self, item: Item) -> Result:
        """Write the item together with any others that are ready. Raises the error of writing this item."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            batch = [await self._queue.get()]
            if self._linger is not None:
                await self._linger()
            while len(batch) < LARGEST_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._write_batch(batch)

    async def _write_batch(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._write([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                log.warning("batch_written_one_by_one", size=len(batch), error=f"{type(error).__name__}: {error}")
                for entry in batch:
                    await self._write_batch([entry])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
