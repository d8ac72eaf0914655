"""Archived histories."""

from __future__ import annotations

import pytest
import zstandard
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.errors import Conflict
from agentgrid.temporal import archive


def test_unpacking_returns_the_packed_events() -> None:
    events = [HistoryEvent(event_id=number) for number in (1, 2, 3)]
    assert archive.unpack(archive.pack(events)) == events


def test_an_oversized_archive_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive.pack([HistoryEvent(event_id=number) for number in range(1_000)])
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000)
    with pytest.raises(Conflict, match="larger than"):
        archive.unpack(packed)


@pytest.mark.parametrize("damage", [b"", b"not zstandard", archive.pack([HistoryEvent(event_id=1)])[:-3]])
def test_a_damaged_archive_raises_conflict(damage: bytes) -> None:
    with pytest.raises(Conflict, match="damaged"):
        archive.unpack(damage)


def test_compressed_data_that_is_not_a_history_counts_as_damaged() -> None:
    with pytest.raises(Conflict, match="damaged"):
        archive.unpack(zstandard.ZstdCompressor().compress(b"\xff" * 20))
