"""Hints on the live streams: new log lines and changes of the catalog. They are not stored, so they have no id, and some may be missing.

Workers write logs and the catalog. They can't store events: who appends one holds a lock that every start waits for (`db/locks.py`), and
a worker's login could keep it. So the API looks once a second, for as long as a stream wants to know.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import takewhile

from pydantic import BaseModel

from agentgrid.api.live import LiveEvent, wire
from agentgrid.api.schemas.events import CatalogChange, CatalogEvent, LogEvent, NewLogs
from agentgrid.db import feed
from agentgrid.db.session import ReadSession
from agentgrid.domain.live import EventKind, Interest
from agentgrid.domain.principals import Principal

LOOK_SECONDS = 1.0
"""How often at most a run's new log lines, or changes of the catalog, are reported."""
LATE_LOOKS = 5
"""For how many looks a line still counts as new that commits late, or whose run is projected late."""
MAX_HINTS = 1_000
"""Hints kept for streams; a slower stream misses some."""


class Hints:
    """The newest hints, and what is known of the logs."""

    def __init__(self) -> None:
        self.head = 0
        """How many there have been."""
        self.catalog_changed = False
        self._kept: deque[LiveEvent] = deque(maxlen=MAX_HINTS)
        self._ends: deque[int] = deque(maxlen=LATE_LOOKS)
        """The newest log line at each of the last looks; empty before the first one."""
        self._reported: Mapping[str, frozenset[int]] = {}
        """Of the lines after the oldest of these ends, those already reported, by run."""

    def after(self, seen: int, principal: Principal, interest: Interest) -> tuple[Sequence[LiveEvent], int]:
        """Wanted hints past the first `seen` ones that the principal may see, and how many there have been."""
        new = takewhile(lambda hint: hint.event_id > seen, reversed(self._kept))
        wanted = [hint for hint in new if interest.wants(hint.kind, hint.run_id)][::-1]
        return [hint for hint in wanted if hint.as_for(principal) and hint.seen_by(principal)], self.head

    async def look(self, session: ReadSession, *, logs: bool) -> bool:
        """Make hints of what is new; whether there are any. logs: whether any stream wants to know of log lines."""
        before = self.head
        if self.catalog_changed:
            self.catalog_changed = False
            self._add(EventKind.CATALOG, CatalogEvent(data=CatalogChange(), at=datetime.now(UTC)), "", "")
        if not logs:
            self._ends.clear()
            return self.head > before
        if not self._ends:
            self._ends.append(await feed.newest_log(session))
            self._reported = {}
            return self.head > before
        found = await feed.logs_after(session, self._ends[0])
        for each in found:
            self._report_logs(each)
        self._reported = {each.run_id: each.log_ids for each in found}
        self._ends.append(max((max(each.log_ids) for each in found), default=self._ends[-1]))
        return self.head > before

    def _report_logs(self, found: feed.RunLogs) -> None:
        new = found.log_ids - self._reported.get(found.run_id, frozenset())
        if not new:
            return
        data = NewLogs(newest_log_id=max(found.log_ids), count=len(new))
        self._add(
            EventKind.LOG, LogEvent(run_id=found.run_id, data=data, at=datetime.now(UTC)), found.run_id, found.workflow
        )

    def _add(self, kind: EventKind, event: BaseModel, run_id: str, workflow: str) -> None:
        self.head += 1
        sent = wire(event)
        # Those who may not read payloads may not read logs.
        guarded = b"" if kind is EventKind.LOG else sent
        self._kept.append(
            LiveEvent(event_id=self.head, run_id=run_id, workflow=workflow, kind=kind, wire=sent, guarded=guarded)
        )
