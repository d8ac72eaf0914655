"""Listens for changes (LISTEN). A lost notification or connection delays work by at most the poll interval."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from agentgrid.db.follow import Line, follow
from agentgrid.domain import channels


class Listener:
    """Wakes its waiters on each notification; reconnects until cancelled."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._heard = asyncio.Event()
        self.heard_at = -math.inf
        """When the last notification came, by the event loop's clock."""

    async def run(self) -> None:
        """Listen until cancelled."""
        await follow(self._dsn, self._listen, name="agentgrid-projector-listener", event="listener_disconnected")

    async def _listen(self, line: Line) -> None:
        await line.listen(channels.CHANGES, self.hear)
        self.hear()
        await line.lost.wait()

    def hear(self, *_: Any) -> None:
        """Wake the waiters: something may be due now or soon."""
        self.heard_at = asyncio.get_running_loop().time()
        self._heard.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next notification, at most this long. Returns whether one came."""
        self._heard.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return False
        return True
