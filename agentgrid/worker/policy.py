"""Policy in a worker: one snapshot, refreshed from the database, cached on disk and evaluated without I/O.

The database is checked on `NOTIFY` and every few seconds, in the background; the document is read only if its version has changed. While the
database is unreachable, the last snapshot stays in force. Its age is the time since it was last confirmed; above the limit, the governor makes
writing tools wait. A worker can start without the database, from the snapshot on disk or from none, which counts as infinitely old.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path

from pydantic import ValidationError

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.db.follow import Line, follow
from agentgrid.domain import channels
from agentgrid.domain.policies import Snapshot
from agentgrid.logging import get_logger
from agentgrid.worker import background
from agentgrid.worker.deltas import Watched

log = get_logger()

NEWEST = """
SELECT version, CASE WHEN version IS DISTINCT FROM $1 THEN document END AS document
FROM policy_snapshots ORDER BY version DESC LIMIT 1
"""
"""The newest snapshot's version, and its document unless this connection has already read that version."""
CATCH_UP_SECONDS = 2.0
"""Maximum time that a call waits for a database check after this process was suspended: several times the duration of one check."""
DISK_INTERVAL_SECONDS = 15.0
"""How often the confirmation time is written to disk while the policy is unchanged."""


class _Moment:
    """A past moment on two clocks: the wall clock, which advances while the machine sleeps, and the monotonic clock, which can't be set back."""

    def __init__(self) -> None:
        self.at = time.time()
        self._monotonic = time.monotonic()

    @classmethod
    def at_time(cls, at: float) -> _Moment | None:
        """The moment at this wall-clock time, or None if that is in the future or not a number: such a moment would never age."""
        moment = cls()
        if not at <= moment.at:
            return None
        moment._monotonic -= moment.at - at
        moment.at = at
        return moment

    @property
    def age_seconds(self) -> float:
        return max(time.time() - self.at, time.monotonic() - self._monotonic)


class PolicySource:
    """The newest policy snapshot that this process knows, and its age."""

    def __init__(self, dsn: str, cache: Path, *, refresh_seconds: float = 2.0) -> None:
        self._dsn = dsn
        self._cache = cache
        self._refresh_seconds = refresh_seconds
        self._snapshot: Snapshot | None = None
        self._document = ""
        """The snapshot exactly as the database returned it."""
        self._confirmed: _Moment | None = None
        self._written = _Moment()
        self._changed = asyncio.Event()
        self._fresh = asyncio.Event()
        self._looked = asyncio.Event()
        """Set and replaced after each database check, including failed ones."""
        self._away = False
        self._task: asyncio.Task[None] | None = None
        self.watched = Watched()
        """The runs being watched; the same connection receives their announcements."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot, or None if none has been seen."""
        return self._snapshot

    @property
    def age_seconds(self) -> float:
        """Seconds since the database last confirmed the snapshot; infinite if it never has."""
        return float("inf") if self._confirmed is None else self._confirmed.age_seconds

    def expiry_seconds(self, requested: float) -> float:
        """The requested expiry: the database's policy never shortens it."""
        return requested

    async def start(self) -> None:
        """Read the snapshot on disk, then follow the database in the background without waiting for it."""
        self._load()
        self._task = background.in_background(self._follow(), "agentgrid-policy")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            await background.stop(self._task)

    async def confirmed(self, timeout_seconds: float) -> bool:
        """Wait until the database has confirmed a snapshot, or until the timeout; return whether it has."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._fresh.wait()
        except TimeoutError:
            return False
        return True

    async def caught_up(self) -> None:
        """Return at once if database checks are on schedule, or if the database is known to be unreachable.

        Otherwise this process was suspended and its policy may be outdated: check now, and wait briefly for the result. It takes two checks, because
        the first one to finish may have started before the suspension.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                for _ in range(2):
                    if self._away or self.age_seconds <= 2 * self._refresh_seconds:
                        return
                    looked = self._looked
                    self._changed.set()
                    await looked.wait()

    def _note_look(self, *, away: bool) -> None:
        self._away = away
        self._looked.set()
        self._looked = asyncio.Event()

    async def _follow(self) -> None:
        await follow(
            self._dsn,
            self._follow_connection,
            name="agentgrid-policy",
            event="policy_not_refreshed",
            max_pause_seconds=self._refresh_seconds,
            faults=(*DATABASE_FAULTS, ValidationError),
            on_fault=lambda: self._note_look(away=True),
        )

    async def _follow_connection(self, line: Line) -> None:
        await line.listen(channels.POLICY, lambda _: self._changed.set())
        await line.listen(channels.WATCHED, self.watched.note)
        # Not the disk snapshot's version: a different database may use the same numbers.
        known: int | None = None
        while True:
            self._changed.clear()
            requested_at = _Moment()
            row = await line.connection.fetchrow(NEWEST, known)
            if row is not None:
                self._take(row["document"], requested_at)
                known = row["version"]
            self._note_look(away=False)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._refresh_seconds):
                    await self._changed.wait()

    def _take(self, document: str | None, requested_at: _Moment) -> None:
        """Store that the database confirmed the snapshot. document: the new one if its version changed, else None."""
        changed = False
        if document is not None:
            snapshot = Snapshot.model_validate_json(document)
            changed = self._snapshot is None or snapshot.version != self._snapshot.version
            self._snapshot, self._document = snapshot, document
        # The time of the request, not of the response: this process may have been frozen while the response was in transit.
        self._confirmed = requested_at
        self._fresh.set()
        if changed and self._snapshot is not None:
            log.info("policy_refreshed", version=self._snapshot.version, rules=len(self._snapshot.rules))
        if changed or self._written.age_seconds > DISK_INTERVAL_SECONDS:
            self._save(self._document, self._confirmed)

    def _save(self, document: str, confirmed: _Moment) -> None:
        self._written = _Moment()
        partial = self._cache.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump({"confirmed_at": confirmed.at, "document": document}, file)
            partial.replace(self._cache)
        except OSError as error:
            log.warning("policy_not_kept", path=str(self._cache), error=str(error))

    def _load(self) -> None:
        try:
            cached = json.loads(self._cache.read_text())
            self._snapshot = Snapshot.model_validate_json(cached["document"])
            self._confirmed = _Moment.at_time(float(cached["confirmed_at"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("kept_policy_not_readable", path=str(self._cache), error=str(error))


class FixedPolicy:
    """A fixed snapshot that is always fresh, for tests and experiments."""

    def __init__(self, snapshot: Snapshot, *, most_expiry_seconds: float | None = None) -> None:
        self.snapshot: Snapshot | None = snapshot
        self.age_seconds = 0.0
        self.watched = Watched()
        self.most_expiry_seconds = most_expiry_seconds
        """When every approval expires at the latest, for rules and workflow code."""

    def expiry_seconds(self, requested: float) -> float:
        """The requested expiry, up to the test's limit."""
        return requested if self.most_expiry_seconds is None else min(requested, self.most_expiry_seconds)

    async def start(self) -> None:
        """Nothing to follow."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def confirmed(self, timeout_seconds: float) -> bool:
        """Return at once: the snapshot is fixed."""
        return True

    async def caught_up(self) -> None:
        """Return at once: the snapshot is fixed."""
