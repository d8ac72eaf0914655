"""Requests that wait until a run has ended: bounded long polls, all woken by the process's one listener (`feed.py`).

Nothing is asked of the database while a request waits, apart from a look every `LOOK_AGAIN_SECONDS`. A wait ends early when the key is revoked or
its principal may no longer read the run, when the client disconnects, and when the process stops.
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
LOOK_AGAIN_SECONDS = 15.0
"""How often a waiting request looks at its run without having been woken: a rebuild of the projection announces no end."""
LOOKS_AT_ONCE = 4
"""How many of them ask the database together: all may be woken at once, and other requests need its connections too."""
RETRY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A run after the wait, and who may see it now."""

    run: Run
    principal: Principal

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return RunStatus(self.run.status).closed

    @property
    def gated(self) -> bool:
        """Whether the run waits for an approval."""
        return self.run.waiting_on == WaitingOn.APPROVAL


class Waiting:
    """The waiting requests of one process. room: how many there may be at once."""

    def __init__(self, plane: ControlPlane, source: Feed, *, room: int) -> None:
        self._plane = plane
        self._source = source
        self._room = room
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._of: Counter[str] = Counter()
        self._stopping = False

    @property
    def count(self) -> int:
        """The number of requests that wait now."""
        return self._of.total()

    def stop(self) -> None:
        """Let every request answer now, and let none wait any more: the process stops."""
        self._stopping = True
        self._source.ring_all()

    async def until_closed(
        self, request: Request, login: Identity, run_id: str, *, seconds: float, or_gated: bool = False
    ) -> Seen:
        """The run once it has ended (with `or_gated`, also once it waits for an approval), or as it is after this time.

        Raises NotFound, also for a run outside the scope; Unauthenticated and Forbidden if the caller lost the key or the permission meanwhile;
        RateLimited and Unavailable if too many requests wait already.
        """
        seen = Seen(run=await self._read(login.principal, run_id), principal=login.principal)
        if seen.closed or (or_gated and seen.gated) or seconds <= 0 or self._stopping:
            return seen
        deadline = asyncio.get_running_loop().time() + seconds
        with self._place(login.principal.name), self._source.bell(run_id) as bell:
            async with _departure(request, bell) as departed:
                return await self._wait(login, run_id, bell, departed, deadline, or_gated)

    async def _wait(
        self,
        login: Identity,
        run_id: str,
        bell: asyncio.Event,
        departed: asyncio.Task[None],
        deadline: float,
        or_gated: bool,
    ) -> Seen:
        loop = asyncio.get_running_loop()
        principal = login.principal
        while True:
            bell.clear()
            seen = Seen(run=await self._read(principal, run_id), principal=principal)
            left = deadline - loop.time()
            if seen.closed or (or_gated and seen.gated) or left <= 0 or self._stopping:
                return seen
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_AGAIN_SECONDS)):
                    await bell.wait()
            if departed.done():
                raise WireError(400, "disconnected", "the client has gone")
            principal = await self._holder(login)

    async def _holder(self, login: Identity) -> Principal:
        """The caller as of now."""
        async with self._looks:
            holder = await login.current(self._plane.pool)
        if holder is None:
            raise Unauthenticated("the key was revoked, or has expired, during the wait")
        authorise(holder, READ_RUN)
        return holder

    async def _read(self, principal: Principal, run_id: str) -> Run:
        async with self._looks, direct(self._plane.pool) as connection:
            run = await runs.result_of(connection, run_id, scope=principal.workflows)
        if run is None:
            raise NotFound("run", run_id)
        return run

    @contextmanager
    def _place(self, principal: str) -> Iterator[None]:
        if self._of[principal] >= MAX_PER_PRINCIPAL:
            raise RateLimited(
                f"at most {MAX_PER_PRINCIPAL} requests of {principal} may wait for results at once; ask without `wait`, or follow the events",
                retry_after_seconds=RETRY_SECONDS,
            )
        if self.count >= self._room:
            raise Unavailable(
                f"{self._room} requests wait for results already; ask without `wait`, or try again",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._of[principal] += 1
        try:
            yield
        finally:
            self._of[principal] -= 1
            if not self._of[principal]:
                del self._of[principal]


@asynccontextmanager
async def _departure(request: Request, bell: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    """A task that ends, and rings, when the client has disconnected."""

    async def disconnected() -> None:
        # A body that such a request should not have is read and dropped.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        bell.set()

    task = asyncio.create_task(disconnected())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
