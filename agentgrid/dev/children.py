"""AgentGrid's own processes as children of `agentgrid dev`: start, restart after a crash, stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from agentgrid.dev.terminal import Terminal, relay_file
from agentgrid.domain.backoff import backoff
from agentgrid.servers.child import Child, end_process, make_private_folder
from agentgrid.servers.lease import Lease

POLL_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that ran this long started properly: its next crash counts as the first."""


class ManagedChild:
    """One `agentgrid ...` process, kept running until `stop`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        home: Path,
        cwd: Path,
        environment: Mapping[str, str],
        terminal: Terminal,
        stop_seconds: float,
        restart_is_pointless: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self.name = name
        self._command = [sys.executable, "-m", "agentgrid.cli.main", *arguments]
        self._home, self._cwd = home, cwd
        self._environment = environment
        self._terminal = terminal
        self._stop_steps = ((signal.SIGTERM, stop_seconds),)
        self._restart_is_pointless = restart_is_pointless
        """Called after a crash: whether to wait for `restart` instead of restarting."""
        self._restart_requested = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._child: Child | None = None
        self._lease: Lease | None = None
        self.crashes = 0
        """The number of consecutive crashes."""

    @property
    def log_file(self) -> Path:
        """The file that stores all its output."""
        return self._home / "logs" / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    def listens(self, port: int) -> bool:
        """Whether this process, and no other, listens on the port."""
        return self._child is not None and self._child.listens(port)

    async def start(self) -> None:
        """Start it and keep it running. First ends a process left over from an earlier `agentgrid dev` that was killed."""
        lease = Lease.take(self._home / f"{self.name}.lock")
        try:
            if (orphan := lease.orphan()) is not None:
                self._terminal.say(f"ending {self.name} (process {orphan.pid}), left over from an earlier start")
                await end_process(orphan, self._stop_steps)
        except BaseException:
            lease.release()
            raise
        self._lease = lease
        make_private_folder(self.log_file.parent)
        size = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._tasks = [
            asyncio.create_task(self._keep_running(lease)),
            asyncio.create_task(relay_file(self._terminal, self.name, self.log_file, size)),
        ]

    def restart(self) -> None:
        """Replace the process with a new one now."""
        self._restart_requested.set()

    async def stop(self) -> None:
        """Stop it within its stop time."""
        if self._lease is None:
            return
        lease, self._lease = self._lease, None
        try:
            self._tasks[0].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tasks[0]
            if self._child is not None:
                await self._child.end(self._stop_steps)
        finally:
            lease.release()
            self._tasks[1].cancel()

    def kill(self) -> None:
        """Kill it now."""
        if self._child is not None:
            self._child.kill()

    async def _keep_running(self, lease: Lease) -> None:
        while True:
            began = time.monotonic()
            self._restart_requested.clear()
            self._child = self._spawn()
            lease.record(self._child)
            while self._child.returncode is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._restart_requested.wait()
                    break
            if self._restart_requested.is_set():
                await self._child.end(self._stop_steps)
                self.crashes = 0
                continue
            self.crashes = 1 if time.monotonic() - began > STEADY_SECONDS else self.crashes + 1
            pause = backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=self.crashes - 1)
            await asyncio.sleep(2 * POLL_SECONDS)  # so that its last lines are relayed before this message
            if self._restart_is_pointless is not None and await self._restart_is_pointless():
                await self._restart_requested.wait()
                continue
            again = f"restarting it in {pause:g} s; its output is in {self.log_file}"
            self._terminal.say(f"{self.name} {_exit_reason(self._child)}; {again}", style="bold red")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._restart_requested.wait()

    def _spawn(self) -> Child:
        return Child.spawn(
            self._command,
            log=self.log_file,
            cwd=self._cwd,
            environment=self._environment,
            death_signal=signal.SIGTERM,
        )


def _exit_reason(child: Child) -> str:
    code = child.returncode
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"
