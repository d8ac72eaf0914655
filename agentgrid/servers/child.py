"""Starts, monitors and ends one child process.

A child must never outlive its parent, however the parent ends. Three mechanisms ensure this: `stop` ends it in an orderly
way; on Linux the kernel signals it when the starting thread dies (so start it from a thread that lives as long as the
server should); and the next start finds and ends any leftover process (`lease.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from agentgrid.errors import AgentGridError

HOST = "127.0.0.1"

POLL_SECONDS = 0.02
LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOG_TAIL_BYTES = 3000
PR_SET_PDEATHSIG = 1


class ServerError(AgentGridError):
    """An embedded server could not be started or stopped; the message has the reason and the end of its log."""

    code = "server_failed"


@dataclass(frozen=True, kw_only=True)
class Account:
    """The system account that a child runs as."""

    uid: int
    gid: int


def free_port() -> int:
    """A loopback port that is currently free."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, purpose: str) -> None:
    """Raise ServerError if the port is in use, naming the process if possible."""
    with socket.socket() as probe:
        # As for the servers: a port in TIME_WAIT counts as free, a port with a listener does not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(
                f"port {port} of {HOST}, needed for {purpose}, is in use{_listener(port)}; "
                f"stop that process or choose another port ({error.strerror})"
            ) from None


def _listener(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.pid and _is_listener(connection.status, connection.laddr, port):
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _is_listener(status: str, local: Sequence[object], port: int) -> bool:
    return status == psutil.CONN_LISTEN and len(local) == 2 and local[1] == port


def make_private_folder(folder: Path) -> None:
    """Create a private folder, or make an existing one private.

    A child that runs as another account can still write there: it receives open file descriptors.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def make_home(home: Path) -> None:
    """Create the folder for a stack's state, private to its owner. Root's has mode 0711: PostgreSQL keeps its data there under another account.

    An existing folder is left unchanged: it may be someone else's. Everything in it with secrets or payloads is itself private.
    """
    home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)


def open_private_log(log: Path) -> BinaryIO:
    """Open a log file for appending, readable by its owner only: log lines may quote payloads."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


class Child:
    """A running child process, its output going to a log file."""

    def __init__(self, process: subprocess.Popen[bytes], command: Sequence[str], log: Path, log_start: int) -> None:
        self._process = process
        self._log = log
        self._log_start = log_start
        self.command = tuple(command)

    @classmethod
    def spawn(
        cls,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        environment: Mapping[str, str],
        death_signal: signal.Signals,
        account: Account | None = None,
    ) -> Child:
        """Start the command in a new session, so that Ctrl-C in a terminal doesn't reach it directly."""
        make_private_folder(log.parent)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".old.log"))
        with open_private_log(log) as output:
            start = output.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=dict(environment),
                umask=0o077,
                start_new_session=True,
                preexec_fn=_die_with_parent(death_signal),
                **_as_account(account),
            )
        return cls(process, command, log, start)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def listens(self, port: int) -> bool:
        """Whether this process listens on the port, and not another that took it first."""
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(_is_listener(connection.status, connection.laddr, port) for connection in connections)

    def log_tail(self) -> str:
        """The end of its output since it was started."""
        with self._log.open("rb") as lines:
            size = lines.seek(0, os.SEEK_END)
            lines.seek(max(self._log_start, size - LOG_TAIL_BYTES))
            return lines.read().decode(errors="replace").strip()

    async def end(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send each signal in turn, waiting up to its timeout; then kill the process if it still runs."""
        try:
            for number, seconds in steps:
                if self.returncode is None:
                    self._process.send_signal(number)
                if await ended_within(seconds, lambda: self.returncode is not None):
                    return
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill it now. Works without an event loop."""
        if self.returncode is None:
            self._process.kill()
            self._process.wait(10)


async def end_process(process: psutil.Process, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Like `Child.end`, for a process left over from an earlier start."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for number, seconds in (*steps, (signal.SIGKILL, 10.0)):
            process.send_signal(number)
            if await ended_within(seconds, lambda: not _runs(process)):
                return
        raise ServerError(f"process {process.pid}, left over from an earlier start, doesn't end; kill it manually")


def _runs(process: psutil.Process) -> bool:
    # A zombie holds nothing but its process id.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def ended_within(seconds: float, ended: Callable[[], bool]) -> bool:
    """Whether the process ended within that time."""
    deadline = time.monotonic() + seconds
    while not ended():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


FOR_MODELS = ("AGENTGRID_MODEL", "OPENAI_", "ANTHROPIC_")
"""Prefixes of the variables that name an agent's model or its provider, with the provider's key."""


def clean_environment(*prefixes: str) -> dict[str, str]:
    """This process's environment without variables that would configure the child by accident, and without providers' keys."""
    return {name: value for name, value in os.environ.items() if not name.startswith((*prefixes, *FOR_MODELS))}


def _as_account(account: Account | None) -> dict[str, Any]:
    """The subprocess arguments that run a child as the account, with only its own group."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Runs in the child before exec: asks the kernel for a signal when the parent dies."""
    if sys.platform != "linux":
        return None
    # Loaded here: imports and locks are not safe between fork and exec.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)

    return arm


@contextlib.contextmanager
def killed_on_error(child: Child) -> Iterator[None]:
    """Kill the child if the block raises or is cancelled."""
    try:
        yield
    except BaseException:
        child.kill()
        raise
