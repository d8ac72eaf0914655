"""Append the events that live streams carry. `feed.py` reads them.

A sequence assigns numbers in request order, not commit order: a reader that has seen 8 could miss a 7 that commits later. So each
writer holds a lock until its transaction ends, and appends last, to hold it briefly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from agentgrid.db import locks
from agentgrid.db.session import WriteSession
from agentgrid.domain import channels

INSERT = """
WITH added AS (
    INSERT INTO events (run_id, kind, subject, data)
    SELECT e.j->>'run_id', e.j->>'kind', e.j->>'subject', e.j->'data'
    FROM json_array_elements({json}) WITH ORDINALITY AS e(j, n) ORDER BY e.n
    RETURNING event_id
)
SELECT pg_notify('{channel}', max(event_id)::text) FROM added HAVING count(*) > 0
""".replace("{channel}", channels.EVENTS)


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """One change for live readers: kind `run`, `step`, `approval` or `end`."""

    run_id: str
    kind: str
    data: dict[str, Any]
    subject: str | None = None


def wire(events: Sequence[NewEvent]) -> str:
    """The events as the JSON text that the insert takes."""
    return json.dumps(
        [{"run_id": event.run_id, "kind": event.kind, "subject": event.subject, "data": event.data} for event in events]
    )


async def append(session: WriteSession, events: Sequence[NewEvent]) -> None:
    """Append events, as the last statement of the session's transaction, and notify the readers."""
    if not events:
        return
    await locks.take(session, locks.EVENTS)
    await session.execute(text(INSERT.format(json="CAST(:events AS json)")), {"events": wire(events)})
