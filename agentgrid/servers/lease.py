"""The lease on a home directory's server: one owner at a time, with a record of the child process.

The lock belongs to the owner's open file, so the kernel releases it however the owner ends. If a new owner finds the
recorded child still running, that child is an orphan: no other process can own it.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from agentgrid.servers.child import Child, ServerError


@dataclass(frozen=True, kw_only=True)
class _Record:
    owner: int
    child: int | None = None
    command: tuple[str, ...] = ()


class Lease:
    """The right to run one server of one home directory, held until `release`."""

    def __init__(self, descriptor: int, previous: _Record | None) -> None:
        self._descriptor = descriptor
        self._previous = previous

    @classmethod
    def take(cls, path: Path) -> Lease:
        """Raises ServerError if another live process holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(descriptor)
            os.close(descriptor)
            user = f"process {holder.owner}" if holder else "another process"
            raise ServerError(
                f"{path.parent} is in use by {user}; stop that first, or set AGENTGRID_HOME to another folder"
            ) from None
        lease = cls(descriptor, _read(descriptor))
        lease._write(_Record(owner=os.getpid()))
        return lease

    def record(self, child: Child) -> None:
        """Record the child, so that a later owner can find it."""
        self._write(_Record(owner=os.getpid(), child=child.pid, command=child.command))

    def orphan(self) -> psutil.Process | None:
        """The child of the previous owner, if it still runs. Process ids are reused, so the command is compared too."""
        if self._previous is None or self._previous.child is None:
            return None
        try:
            process = psutil.Process(self._previous.child)
            return process if tuple(process.cmdline()) == self._previous.command else None
        except psutil.Error:
            return None

    def release(self) -> None:
        """Release the lease; the child must have ended."""
        # The file stays: unlinking it would let two owners lock different files under one name.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _write(self, record: _Record) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(asdict(record)).encode(), 0)


def _read(descriptor: int) -> _Record | None:
    try:
        record = json.loads(os.pread(descriptor, 65536, 0))
        return _Record(owner=record["owner"], child=record["child"], command=tuple(record["command"]))
    except (ValueError, KeyError, TypeError):
        # Empty after a release, or truncated by a crash: either way there is no owner.
        return None
