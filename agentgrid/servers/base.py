"""Starting and stopping, shared by all embedded servers."""

from __future__ import annotations

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import psutil
import structlog

from agentgrid.servers.child import POLL_SECONDS, Child, ServerError, end_process, killed_on_error, make_home
from agentgrid.servers.lease import Lease

READY_SECONDS = 60.0
RETRY_SECONDS = 0.2

log = structlog.get_logger(__name__)


class EmbeddedServer(ABC):
    """A server run as a child process on the loopback address, with its state in a home directory.

    `async with` starts and stops it. `start` returns once it answers, or raises ServerError with the end of its log.
    """

    name: ClassVar[str]
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]]
    """The signals to stop it, each with its timeout in seconds; after the last it is killed."""

    def __init__(self, home: Path, *, ready_seconds: float = READY_SECONDS) -> None:
        self.home = home.absolute()
        self._ready_seconds = ready_seconds
        self._child: Child | None = None
        self._lease: Lease | None = None

    @property
    def log_file(self) -> Path:
        return self.home / "logs" / f"{self.name}.log"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """Its exit code if it ended unexpectedly; None while it runs."""
        return self._running().returncode

    async def start(self) -> Self:
        if self._lease is not None:
            raise ServerError(f"{self.name} is already started")
        make_home(self.home)
        lease = Lease.take(self.home / f"{self.name}.lock")
        began = time.monotonic()
        try:
            await self._end_orphan(lease.orphan())
            await self._prepare()
            self._child = await self._launch(lease, began + self._ready_seconds)
            self._lease = lease
            with killed_on_error(self._child):
                await self._ready()
        except BaseException:
            self._child = self._lease = None
            lease.release()
            raise
        log.info("server_started", server=self.name, pid=self.pid, seconds=round(time.monotonic() - began, 2))
        return self

    async def stop(self) -> None:
        """Stop it; no effect if it isn't running. Takes at most the sum of `stop_steps`."""
        lease, child = self._lease, self._child
        if lease is None or child is None:
            return
        self._lease = None
        try:
            await child.end(self.stop_steps)
        finally:
            lease.release()

    async def wait(self) -> int:
        """Wait until it ends unexpectedly; returns its exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(0.25)
        return code

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _prepare(self) -> None:  # noqa: B027
        """Create what the process needs before it starts. Called once per start."""

    @abstractmethod
    def _spawn(self) -> Child:
        """Start the process, choosing free ports for those not given."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Whether the server is ready. False if it may become ready; raises ServerError if it never will."""

    async def _ready(self) -> None:  # noqa: B027
        """Finish setup that needs the running server."""

    @abstractmethod
    def _failure_is_transient(self, tail: str) -> bool:
        """Whether the end of a process's log shows a transient error."""

    async def _end_orphan(self, orphan: psutil.Process | None) -> None:
        if orphan is not None:
            log.info("orphan_ended", server=self.name, pid=orphan.pid)
            await end_process(orphan, self.stop_steps)

    async def _launch(self, lease: Lease, deadline: float) -> Child:
        """Start a child and wait until it answers."""
        while True:
            child = self._spawn()
            lease.record(child)
            with killed_on_error(child):
                while child.returncode is None:
                    if child.listens(self.port) and await self._try_answers(deadline):
                        return child
                    if time.monotonic() > deadline:
                        raise self._failure(child, f"did not answer within {self._ready_seconds:g} s")
                    await asyncio.sleep(POLL_SECONDS)
            if not self._failure_is_transient(child.log_tail()) or time.monotonic() > deadline:
                raise self._failure(child, f"exited with code {child.returncode} before it answered")
            await asyncio.sleep(RETRY_SECONDS)

    @property
    @abstractmethod
    def port(self) -> int:
        """The port it listens on."""

    async def _try_answers(self, deadline: float) -> bool:
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 1.0)):
                return await self._answers()
        except TimeoutError:
            return False

    def _failure(self, child: Child, what: str) -> ServerError:
        return ServerError(f"{self.name} {what}; the end of {self.log_file}:\n{child.log_tail() or '(empty)'}")

    def _running(self) -> Child:
        if self._child is None:
            raise ServerError(f"{self.name} is not started")
        return self._child
