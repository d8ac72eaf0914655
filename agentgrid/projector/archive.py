"""The archive of closed executions: Temporal forgets them after its retention, a rebuild must not."""

from __future__ import annotations

from collections.abc import Sequence

import zstandard
from temporalio.api.history.v1 import History, HistoryEvent

from agentgrid.projector.store import Archive

LEVEL = 3


def pack(events: Sequence[HistoryEvent]) -> Archive:
    """The events as Temporal sent them, payloads still encoded, compressed."""
    data = History(events=events).SerializeToString()
    return Archive(events=zstandard.ZstdCompressor(level=LEVEL).compress(data), event_count=len(events))


def unpack(data: bytes) -> list[HistoryEvent]:
    """The events of an archived history."""
    return list(History.FromString(zstandard.ZstdDecompressor().decompress(data)).events)
