"""The record of payload reads, refusals and requests without a valid key.

A read costs no transaction: identical reads within a minute are counted in memory. A background loop writes them a moment later, and again
if the count has grown. A killed process loses unwritten entries. A database fault delays writing but never fails a read.

The number of entries in memory is bounded per principal, for all requests without a key, and overall. Past the bound, reads that differ only
in subject (or in address, without a key) are merged; any further ones are counted as dropped. So nobody can make the table grow faster
than the bounds, and nobody can crowd out another principal's reads with their own requests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.db import reads as db_reads
from agentgrid.db.session import SESSION_FAULTS, writing
from agentgrid.domain.ids import new_id
from agentgrid.domain.reads import ReadOutcome

log = structlog.get_logger()

MINUTE = timedelta(minutes=1)
FLUSH_SECONDS = 2.0
MAX_PER_PRINCIPAL = 600
"""Maximum distinct entries per principal and minute."""
MAX_WITHOUT_KEY = 500
MAX_ENTRIES = 5_000
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class ReadIdentity:
    """The fields by which two reads within a minute are identical."""

    route: str
    outcome: ReadOutcome
    principal: str | None = None
    key_id: str | None = None
    address: str | None = None
    subject: str | None = None

    @property
    def coarse(self) -> ReadIdentity:
        """The merged entry that is used past the bound."""
        return replace(self, subject=None, address=self.address if self.principal is not None else None)


@dataclass(kw_only=True)
class _Entry:
    read_id: str
    at: datetime
    last_at: datetime
    count: int = 0
    written: int = 0


class Recorder:
    """The reads of one process that are still being counted or not yet written."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._entries: dict[ReadIdentity, _Entry] = {}
        self._ended: list[tuple[ReadIdentity, _Entry]] = []
        self._per_principal: Counter[str | None] = Counter()
        self.dropped = 0
        """Reads dropped because there was no room."""
        self.failures = 0
        """Failed attempts to write to the database."""

    def note(self, reading: ReadIdentity) -> None:
        """Count a read. Never fails and never blocks."""
        now = datetime.now(UTC)
        entry = self._entry(reading, now) or self._entry(reading.coarse, now, merged=True)
        if entry is None:
            self.dropped += 1
            return
        entry.count += 1
        entry.last_at = now

    def _entry(self, reading: ReadIdentity, now: datetime, *, merged: bool = False) -> _Entry | None:
        """The current entry for such reads: this minute's or, if there is room, a new one."""
        entry = self._entries.get(reading)
        if entry is not None and now - entry.at < MINUTE:
            return entry
        if entry is not None:
            self._end(reading, entry)
        count = len(self._entries) + len(self._ended)
        limit = MAX_PER_PRINCIPAL if reading.principal is not None else MAX_WITHOUT_KEY
        # Merged entries may exceed each limit by a tenth.
        factor = 1.1 if merged else 1.0
        if count >= MAX_ENTRIES * factor or self._per_principal[reading.principal] >= limit * factor:
            return None
        self._per_principal[reading.principal] += 1
        entry = self._entries[reading] = _Entry(read_id=new_id(), at=now, last_at=now)
        return entry

    def _end(self, reading: ReadIdentity, entry: _Entry) -> None:
        del self._entries[reading]
        if entry.count > entry.written:
            self._ended.append((reading, entry))
        else:
            self._forget(reading)

    def _forget(self, reading: ReadIdentity) -> None:
        self._per_principal[reading.principal] -= 1
        if not self._per_principal[reading.principal]:
            del self._per_principal[reading.principal]

    async def run(self) -> None:
        """Write counted reads until cancelled, then write the rest."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self.flush()

    async def flush(self) -> None:
        """Write the counts since the last flush, and drop written entries older than a minute."""
        now = datetime.now(UTC)
        for reading, entry in list(self._entries.items()):
            if now - entry.at >= MINUTE:
                self._end(reading, entry)
        pending = [*self._ended, *self._entries.items()]
        unwritten = [(reading, entry, entry.count) for reading, entry in pending if entry.count > entry.written]
        for start in range(0, len(unwritten), BATCH):
            part = unwritten[start : start + BATCH]
            try:
                async with writing(self._engine) as session:
                    await db_reads.save(session, [_row(reading, entry) for reading, entry, _ in part])
            except SESSION_FAULTS as error:
                self.failures += 1
                log.warning("reads_not_recorded", waiting=len(unwritten) - start, error=str(error)[:200])
                break
            for _, entry, count in part:
                entry.written = count
        for reading, entry in self._ended:
            if entry.count == entry.written:
                self._forget(reading)
        self._ended = [(reading, entry) for reading, entry in self._ended if entry.count > entry.written]


def _row(reading: ReadIdentity, entry: _Entry) -> dict[str, Any]:
    return {
        "read_id": entry.read_id,
        "at": entry.at,
        "last_at": entry.last_at,
        "principal": reading.principal,
        "key_id": reading.key_id,
        "address": reading.address,
        "route": reading.route,
        "subject": reading.subject,
        "outcome": reading.outcome.value,
        "count": entry.count,
    }
