"""Operating system processes: starting, killing by pid, freezing, and checking that it worked."""

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
"""Ports below the ephemeral range: a client that keeps trying an ephemeral port while its server is down can connect to itself."""


def steady_port() -> int:
    """A free port that no other process takes while its server is down."""
    while True:
        port = random.SystemRandom().randrange(*BELOW_EPHEMERAL)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def freeze(pid: int) -> list[int]:
    """Stop the process and its children (SIGSTOP) until they are thawed. Returns their pids."""
    frozen: list[int] = []
    process = psutil.Process(pid)
    # The parent first, so that it starts no more children.
    for target in (process, *process.children(recursive=True)):
        try:
            target.send_signal(signal.SIGSTOP)
        except psutil.NoSuchProcess:
            continue
        frozen.append(target.pid)
    return frozen


def is_frozen(pid: int) -> bool:
    """Whether the process is stopped."""
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def thaw(pids: Sequence[int]) -> None:
    """Continue frozen processes."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue


class Program:
    """One of AgentGrid's own programs, started as an operator would, except that its libraries are already imported."""

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
        """Start the program; no-op if it is running."""
        if not self.running:
            log = self.log_file
            make_private_folder(log.parent)
            begin = log.stat().st_size if log.exists() else 0
            process: Any = self._forks.start(
                self._code, *self._arguments, cwd=self._cwd, env=self._environment, out=log, err=log
            )
            self._child = Child(process, ("agentgrid", *self._arguments), log, begin)

    async def kill(self) -> int:
        """Kill the program (`kill -9`). Returns its pid."""
        child = self._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        assert await ended_within(END_SECONDS, lambda: child.returncode is not None)
        assert child.returncode == -signal.SIGKILL, f"{self.name} had ended by itself: {child.returncode}"
        return child.pid

    async def stop(self) -> int:
        """Terminate the program gracefully. Returns its exit code."""
        child = self._child
        assert child is not None
        await child.end([(signal.SIGTERM, END_SECONDS)])
        assert child.returncode is not None
        return child.returncode

    def end(self) -> None:
        """Kill the program if it is running."""
        if self._child is not None:
            self._child.kill()


async def kill_server(server: EmbeddedServer) -> int:
    """Kill an embedded server (`kill -9`). Returns its pid. `restart` brings it back."""
    pid = server.pid
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(END_SECONDS):
        assert await server.wait() == -signal.SIGKILL
    return pid


async def restart(server: EmbeddedServer) -> None:
    """Start a server that was stopped or killed."""
    await server.stop()
    await server.start()
