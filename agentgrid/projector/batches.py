"""Group commit: what is ready together is written together; a poisonous piece is found by writing one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)

LARGEST_BATCH = 64

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batches(Generic[Item, Answer]):
    """One task that writes; any number of tasks that wait until their piece is written.

    write: writes a batch and answers each piece, in the same order.
    company: awaited when a first piece is ready, for as long as it makes sense that others join it.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        company: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._write = write
        self._company = company
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Answer]]] = asyncio.Queue()

    async def put(self, item: Item) -> Answer:
        """Write with whatever else is ready. Raises what writing this very piece raised."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            batch = [await self._queue.get()]
            if self._company is not None:
                await self._company()
            while len(batch) < LARGEST_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._all(batch)

    async def _all(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._write([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                log.warning("batch_written_one_by_one", size=len(batch), error=f"{type(error).__name__}: {error}")
                for each in batch:
                    await self._all([each])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
