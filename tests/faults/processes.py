"""Real processes of the operating system: started, killed by number, frozen, and seen to be so."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from agentgrid.servers import EmbeddedServer
from agentgrid.servers.child import HOST, Child, ended_within, make_private_folder
from tests.forks import Forks

END_SECONDS = 15.0
BELOW_EPHEMERAL = (20_000, 30_000)
"""A client that tries a port of the ephemeral range again and again, while its server is down, in the end connects to itself."""


def steady_port() -> int:
    """A free port that stays free while its server is down."""
    while True:
        port = random.SystemRandom().randrange(*BELOW_EPHEMERAL)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def freeze(pid: int) -> list[int]:
    """Stop the process and its children until they are thawed; all of them."""
    frozen: list[int] = []
    process = psutil.Process(pid)
    # The parent first: it makes no more children then.
    for each in (process, *process.children(recursive=True)):
        try:
            each.send_signal(signal.SIGSTOP)
        except psutil.NoSuchProcess:
            continue
        frozen.append(each.pid)
    return frozen


def is_frozen(pid: int) -> bool:
    """Whether the kernel holds the process still."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def thaw(pids: Sequence[int]) -> None:
    """Let them go on."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue


class Program:
    """One of AgentGrid's own programs, as an operator starts it, except that its libraries are imported already."""

    def __init__(
        self,
        name: str,
        forks: Forks,
        code: str,
        arguments: Sequence[str],
        *,
        home: Path,
        environment: Mapping[str, str],
        cwd: Path,
    ) -> None:
        self.name = name
        self._forks = forks
        self._code = code
        self._arguments = arguments
        self._home = home
        self._environment = {**environment, "AGENTGRID_HOME": str(home / name)}
        self._cwd = cwd
        self._child: Child | None = None

    @property
    def log_file(self) -> Path:
        return self._home / "logs" / f"{self.name}.log"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it; nothing happens if it runs."""
        if not self.running:
            log = self.log_file
            make_private_folder(log.parent)
            begin = log.stat().st_size if log.exists() else 0
            process: Any = self._forks.start(
                self._code, *self._arguments, cwd=self._cwd, env=self._environment, out=log, err=log
            )
            self._child = Child(process, ("agentgrid", *self._arguments), log, begin)

    async def kill(self) -> int:
        """`kill -9`; the number of the process that has died of it."""
        child = self._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        assert await ended_within(END_SECONDS, lambda: child.returncode is not None)
        assert child.returncode == -signal.SIGKILL, f"{self.name} had ended by itself: {child.returncode}"
        return child.pid

    async def stop(self) -> int:
        """Ask it to end; what it ended with."""
        child = self._child
        assert child is not None
        await child.end([(signal.SIGTERM, END_SECONDS)])
        assert child.returncode is not None
        return child.returncode

    def end(self) -> None:
        """Make an end of it, whatever it does."""
        if self._child is not None:
            self._child.kill()


async def kill_server(server: EmbeddedServer) -> int:
    """`kill -9` of an embedded server; the number of the process that has died of it. `start_again` brings it back."""
    pid = server.pid
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(END_SECONDS):
        assert await server.wait() == -signal.SIGKILL
    return pid


async def start_again(server: EmbeddedServer) -> None:
    """Start a server that was stopped, or has died."""
    await server.stop()
    await server.start()
