"""Hints on the live streams: new log lines and catalog changes. They are not stored and have no id, and some may be missing.

Workers write logs and the catalog, but can't store events: appending one takes a lock that every start waits for (`db/locks.py`), and
a worker's login could hold it. So the API polls once a second while any stream is interested.
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

POLL_SECONDS = 1.0
"""Minimum time between reports of a run's new log lines or of catalog changes."""
LATE_POLLS = 5
"""For how many polls a line still counts as new if it commits late or its run is projected late."""
MAX_HINTS = 1_000
"""Hints buffered for streams; a slower stream misses some."""


class Hints:
    """The newest hints, and the position in the logs."""

    def __init__(self) -> None:
        self.head = 0
        """The total number of hints so far."""
        self.catalog_changed = False
        self._kept: deque[LiveEvent] = deque(maxlen=MAX_HINTS)
        self._ends: deque[int] = deque(maxlen=LATE_POLLS)
        """The newest log id at each of the last polls; empty before the first one."""
        self._reported: Mapping[str, frozenset[int]] = {}
        """Ids of the lines after `_ends[0]` that have already been reported, by run."""

    def after(self, seen: int, principal: Principal, interest: Interest) -> tuple[Sequence[LiveEvent], int]:
        """Hints after the first `seen` ones that match the interest and that the principal may see, and the total number so far."""
        new = takewhile(lambda hint: hint.event_id > seen, reversed(self._kept))
        matching = [hint for hint in new if interest.wants(hint.kind, hint.run_id)][::-1]
        return [hint for hint in matching if hint.wire_for(principal) and hint.visible_to(principal)], self.head

    async def poll(self, session: ReadSession, *, logs: bool) -> bool:
        """Poll for news and return whether there are new hints. logs: whether any stream is interested in log lines."""
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
        new_logs = await feed.logs_after(session, self._ends[0])
        for run_logs in new_logs:
            self._report_logs(run_logs)
        self._reported = {run_logs.run_id: run_logs.log_ids for run_logs in new_logs}
        self._ends.append(max((max(run_logs.log_ids) for run_logs in new_logs), default=self._ends[-1]))
        return self.head > before

    def _report_logs(self, run_logs: feed.RunLogs) -> None:
        new = run_logs.log_ids - self._reported.get(run_logs.run_id, frozenset())
        if not new:
            return
        data = NewLogs(newest_log_id=max(run_logs.log_ids), count=len(new))
        self._add(
            EventKind.LOG,
            LogEvent(run_id=run_logs.run_id, data=data, at=datetime.now(UTC)),
            run_logs.run_id,
            run_logs.workflow,
        )

    def _add(self, kind: EventKind, event: BaseModel, run_id: str, workflow: str) -> None:
        self.head += 1
        sent = wire(event)
        # Callers who may not read payloads may not read logs either.
        redacted = b"" if kind is EventKind.LOG else sent
        self._kept.append(
            LiveEvent(event_id=self.head, run_id=run_id, workflow=workflow, kind=kind, wire=sent, redacted=redacted)
        )
