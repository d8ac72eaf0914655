"""Hear of changes by LISTEN. A lost notification, or a lost connection, costs no more than the poll interval."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import structlog

log = structlog.get_logger(__name__)

CHANNEL = "agentgrid_changes"
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 1.0


class Listener:
    """Sets `heard` at each notification; connects again for as long as it runs."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.heard = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("listener_disconnected", error=str(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_SECONDS, server_settings={"application_name": "agentgrid-projector-listener"}
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _connection: lost.set())

        def hear(*_: Any) -> None:
            self.heard.set()

        try:
            await connection.add_listener(CHANNEL, hear)
            self.heard.set()
            await lost.wait()
            raise OSError("the connection was lost")
        finally:
            if not connection.is_closed():
                await connection.close(timeout=CONNECT_SECONDS)

    async def wait(self, seconds: float) -> None:
        """Return at the next notification, or after this long."""
        try:
            await asyncio.wait_for(self.heard.wait(), seconds)
        except TimeoutError:
            return
        finally:
            self.heard.clear()
