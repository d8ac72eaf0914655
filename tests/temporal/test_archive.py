"""Archived histories."""

from __future__ import annotations

import pytest
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.errors import Conflict
from agentgrid.temporal import archive


def test_an_archive_has_the_events_that_were_packed() -> None:
    events = [HistoryEvent(event_id=number) for number in (1, 2, 3)]
    assert archive.unpack(archive.pack(events)) == events


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive.pack([HistoryEvent(event_id=number) for number in range(1_000)])
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000)
    with pytest.raises(Conflict, match="larger than"):
        archive.unpack(packed)
