"""Requests that wait for a run to end: bounded long polls, all woken by the process's single listener (`feed.py`).

Until it is woken, a waiting request queries the database only every `RECHECK_SECONDS`. A wait ends early if the key is revoked,
the principal may no longer read the run, the client disconnects, or the process shuts down.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from starlette.requests import Request

from agentgrid.api.access import READ_RUN
from agentgrid.api.errors import WireError
from agentgrid.api.feed import Feed
from agentgrid.api.identity import Identity
from agentgrid.api.routing import authorise
from agentgrid.control.plane import ControlPlane
from agentgrid.db import runs
from agentgrid.db.pool import direct
from agentgrid.db.tables import Run
from agentgrid.domain.principals import Principal
from agentgrid.domain.runs import RunStatus, WaitingOn
from agentgrid.errors import NotFound, RateLimited, Unauthenticated, Unavailable

MAX_WAIT_SECONDS = 60
MAX_PER_PRINCIPAL = 100
RECHECK_SECONDS = 15.0
"""How often a waiting request checks its run without being woken, because a rebuild of the projection announces no end."""
CHECKS_CONCURRENCY = 4
"""How many of them query the database at once: all may be woken together, and other requests need connections too."""
RETRY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class WaitedRun:
    """A run after the wait, and the caller as of now."""

    run: Run
    principal: Principal

    @property
    def closed(self) -> bool:
        return RunStatus(self.run.status).closed

    @property
    def awaits_approval(self) -> bool:
        return self.run.waiting_on == WaitingOn.APPROVAL


class Waiting:
    """The waiting requests of one process. room: the maximum number."""

    def __init__(self, plane: ControlPlane, source: Feed, *, room: int) -> None:
        self._plane = plane
        self._source = source
        self._capacity = room
        self._checks = asyncio.Semaphore(CHECKS_CONCURRENCY)
        self._waiting_by: Counter[str] = Counter()
        self._stopping = False

    @property
    def count(self) -> int:
        """The number of waiting requests."""
        return self._waiting_by.total()

    def stop(self) -> None:
        """Make every waiting request return now, and admit no more: the process is shutting down."""
        self._stopping = True
        self._source.wake_all()

    async def until_closed(
        self, request: Request, identity: Identity, run_id: str, *, seconds: float, or_approval: bool = False
    ) -> WaitedRun:
        """The run once it has ended (with `or_approval`, also once it waits for an approval), or its state when the time is up.

        Raises NotFound, also for a run outside the scope; Unauthenticated or Forbidden if the caller lost the key or the permission in the meantime;
        RateLimited or Unavailable if too many requests are waiting already.
        """
        waited = WaitedRun(run=await self._read(identity.principal, run_id), principal=identity.principal)
        if waited.closed or (or_approval and waited.awaits_approval) or seconds <= 0 or self._stopping:
            return waited
        deadline = asyncio.get_running_loop().time() + seconds
        with self._slot(identity.principal.name), self._source.bell(run_id) as bell:
            async with _disconnection(request, bell) as disconnected:
                return await self._wait(identity, run_id, bell, disconnected, deadline, or_approval)

    async def _wait(
        self,
        identity: Identity,
        run_id: str,
        bell: asyncio.Event,
        disconnected: asyncio.Task[None],
        deadline: float,
        or_approval: bool,
    ) -> WaitedRun:
        loop = asyncio.get_running_loop()
        principal = identity.principal
        while True:
            bell.clear()
            waited = WaitedRun(run=await self._read(principal, run_id), principal=principal)
            left = deadline - loop.time()
            if waited.closed or (or_approval and waited.awaits_approval) or left <= 0 or self._stopping:
                return waited
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, RECHECK_SECONDS)):
                    await bell.wait()
            if disconnected.done():
                raise WireError(400, "disconnected", "the client disconnected")
            principal = await self._holder(identity)

    async def _holder(self, identity: Identity) -> Principal:
        async with self._checks:
            holder = await identity.current(self._plane.pool)
        if holder is None:
            raise Unauthenticated("the key was revoked or expired during the wait")
        authorise(holder, READ_RUN)
        return holder

    async def _read(self, principal: Principal, run_id: str) -> Run:
        async with self._checks, direct(self._plane.pool) as connection:
            run = await runs.result_of(connection, run_id, scope=principal.workflows)
        if run is None:
            raise NotFound("run", run_id)
        return run

    @contextmanager
    def _slot(self, principal: str) -> Iterator[None]:
        if self._waiting_by[principal] >= MAX_PER_PRINCIPAL:
            raise RateLimited(
                f"at most {MAX_PER_PRINCIPAL} requests of {principal} may wait for results at once; poll without `wait`, or follow the events",
                retry_after_seconds=RETRY_SECONDS,
            )
        if self.count >= self._capacity:
            raise Unavailable(
                f"{self._capacity} requests are already waiting for results; poll without `wait`, or try again later",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._waiting_by[principal] += 1
        try:
            yield
        finally:
            self._waiting_by[principal] -= 1
            if not self._waiting_by[principal]:
                del self._waiting_by[principal]


@asynccontextmanager
async def _disconnection(request: Request, bell: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    """A task that ends and sets the bell when the client disconnects."""

    async def watch_connection() -> None:
        # These requests should have no body; one that is sent anyway is read and dropped.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        bell.set()

    task = asyncio.create_task(watch_connection())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
