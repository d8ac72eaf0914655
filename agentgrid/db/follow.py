"""Keeps a LISTEN connection open: one loop for all PostgreSQL notifications.

A notification can be lost, with its connection or without, so a follower must also check for itself: once when its session begins, and by polling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import asyncpg

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.domain.backoff import backoff, jittered
from agentgrid.logging import get_logger, worth_a_line

log = get_logger()

CONNECT_SECONDS = 5.0
"""Timeout for connecting, and for each statement of a session."""
CLOSE_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 2.0
STEADY_SECONDS = 15.0
"""A session that lasted longer than this worked, so the failure count is reset. Connecting and one statement can take ten seconds and fail."""


class Line:
    """A follower's connection."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self.connection = connection
        self.lost = asyncio.Event()
        """Set when the connection is lost."""
        connection.add_termination_listener(lambda _: self.lost.set())

    async def listen(self, channel: str, hear: Callable[[str], None]) -> None:
        """Call `hear` with the payload of each notification on the channel."""
        await self.connection.add_listener(channel, lambda *heard: hear(str(heard[3])))


async def follow(
    dsn: str,
    session: Callable[[Line], Awaitable[None]],
    *,
    name: str,
    event: str,
    max_pause_seconds: float = MAX_PAUSE_SECONDS,
    faults: tuple[type[Exception], ...] = DATABASE_FAULTS,
    on_fault: Callable[[], None] | None = None,
) -> None:
    """Run the session on a connection, and again on a new connection whenever it ends or raises one of the faults, until cancelled.

    name: the connection's name in `pg_stat_activity`. event: the log event when a session ends. on_fault: called each time a session ends. Other
    errors are raised.
    """
    failures = 0
    while True:
        began = asyncio.get_running_loop().time()
        try:
            await _once(dsn, session, name)
            error: Exception | None = None
        except faults as fault:
            error = fault
        if asyncio.get_running_loop().time() - began > STEADY_SECONDS:
            failures = 0
        failures += 1
        if on_fault is not None:
            on_fault()
        if worth_a_line(failures):
            reason = "the connection was lost" if error is None else str(error) or type(error).__name__
            log.warning(event, failures=failures, error=reason)
        await asyncio.sleep(jittered(backoff(FIRST_PAUSE_SECONDS, max_pause_seconds, tries=failures - 1)))


async def _once(dsn: str, session: Callable[[Line], Awaitable[None]], name: str) -> None:
    connection = await asyncpg.connect(
        dsn, timeout=CONNECT_SECONDS, command_timeout=CONNECT_SECONDS, server_settings={"application_name": name}
    )
    try:
        await session(Line(connection))
    finally:
        with suppress(*DATABASE_FAULTS):
            await connection.close(timeout=CLOSE_SECONDS)
