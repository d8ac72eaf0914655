"""Hear of changes by LISTEN. A lost notification, or a lost connection, costs no more than the poll interval."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import asyncpg
import structlog

from agentgrid.db.away import DATABASE_FAULTS

log = structlog.get_logger(__name__)

CHANNEL = "agentgrid_changes"
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 1.0


class Listener:
    """Wakes its waiters at each notification; reconnects for as long as it runs."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._heard = asyncio.Event()
        self.heard_at = -math.inf
        """When something was last heard, by the event loop's clock."""

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except DATABASE_FAULTS as error:
                log.warning("listener_disconnected", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_SECONDS, server_settings={"application_name": "agentgrid-projector-listener"}
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())

        try:
            await connection.add_listener(CHANNEL, self.hear)
            self.hear()
            await lost.wait()
            raise OSError("the connection was lost")
        finally:
            if not connection.is_closed():
                await connection.close(timeout=CONNECT_SECONDS)

    def hear(self, *_: Any) -> None:
        """Something may be due now or soon."""
        self.heard_at = asyncio.get_running_loop().time()
        self._heard.set()

    async def wait(self, seconds: float) -> bool:
        """Return at the next notification, or after this long; whether one was heard."""
        self._heard.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return False
        return True
