"""Policy in a worker: one snapshot, kept fresh from the database, kept on disk, and asked without I/O.

The database is looked at on `NOTIFY` and every few seconds, in the background. While it is away the last snapshot holds; how long ago it was
last confirmed is its age, and the governor makes tools that write wait once that is over the limit. A worker starts without the database:
from the snapshot on disk, or with none, which counts as infinitely old.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path

import asyncpg
import structlog
from pydantic import ValidationError

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.domain.policies import Snapshot

log = structlog.get_logger()

CHANNEL = "agentgrid_policy"
CONNECT_TIMEOUT_SECONDS = 5.0
DISK_INTERVAL_SECONDS = 15.0
"""How often the time of confirmation is written to disk while nothing changes."""


class PolicySource:
    """The newest policy snapshot that this process knows, and how old it is."""

    def __init__(self, dsn: str, cache: Path, *, refresh_seconds: float = 2.0) -> None:
        self._dsn = dsn
        self._cache = cache
        self._refresh_seconds = refresh_seconds
        self._snapshot: Snapshot | None = None
        self._confirmed_at: float | None = None
        self._written_at = 0.0
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot, or None where none was ever seen."""
        return self._snapshot

    @property
    def age_seconds(self) -> float:
        """Seconds since the database last confirmed the snapshot; infinite where it never did."""
        return float("inf") if self._confirmed_at is None else max(0.0, time.time() - self._confirmed_at)

    async def start(self) -> None:
        """Read the disk, then follow the database in the background; never waits for it."""
        self._load()
        self._task = asyncio.create_task(self._follow(), name="agentgrid-policy")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def confirmed(self, timeout_seconds: float) -> bool:
        """Wait, at most so long, until the database has confirmed a snapshot once; whether it has."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._fresh.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self) -> None:
        failures = 0
        while True:
            try:
                await self._follow_connection()
            except (*DATABASE_FAULTS, ValidationError) as error:
                failures += 1
                if failures in (1, 10) or failures % 100 == 0:
                    log.warning(
                        "policy_not_refreshed", error=str(error) or type(error).__name__, age_seconds=self.age_seconds
                    )
            await asyncio.sleep(min(self._refresh_seconds, 0.2 * 2 ** min(failures, 5)))

    async def _follow_connection(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=CONNECT_TIMEOUT_SECONDS
        )
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._changed.set())
            while True:
                self._changed.clear()
                row = await connection.fetchrow("SELECT document FROM policy_snapshots ORDER BY version DESC LIMIT 1")
                self._take(row["document"] if row is not None else None)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._refresh_seconds):
                        await self._changed.wait()
        finally:
            with contextlib.suppress(*DATABASE_FAULTS):
                await connection.close(timeout=1)

    def _take(self, document: str | None) -> None:
        if document is None:
            return
        snapshot = Snapshot.model_validate_json(document)
        changed = self._snapshot is None or snapshot.version != self._snapshot.version
        self._snapshot, self._confirmed_at = snapshot, time.time()
        self._fresh.set()
        if changed:
            log.info("policy_refreshed", version=snapshot.version, rules=len(snapshot.rules))
        if changed or self._confirmed_at - self._written_at > DISK_INTERVAL_SECONDS:
            self._save(document)

    def _save(self, document: str) -> None:
        self._written_at = time.time()
        partial = self._cache.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump({"confirmed_at": self._confirmed_at, "document": document}, file)
            partial.replace(self._cache)
        except OSError as error:
            log.warning("policy_not_kept", path=str(self._cache), error=str(error))

    def _load(self) -> None:
        try:
            kept = json.loads(self._cache.read_text())
            self._snapshot = Snapshot.model_validate_json(kept["document"])
            self._confirmed_at = float(kept["confirmed_at"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("kept_policy_not_readable", path=str(self._cache), error=str(error))


class FixedPolicy:
    """A snapshot that never changes by itself and is always fresh: for tests and for trying things out."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot: Snapshot | None = snapshot
        self.age_seconds = 0.0

    async def start(self) -> None:
        """Nothing to follow."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def confirmed(self, timeout_seconds: float) -> bool:
        """It always is."""
        return True
