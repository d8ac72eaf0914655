"""Packs whole histories into bytes, to keep them beyond Temporal's retention."""

from __future__ import annotations

from collections.abc import Sequence

import zstandard
from google.protobuf.message import DecodeError
from temporalio.api.history.v1 import History, HistoryEvent

from agentgrid.errors import Conflict

LEVEL = 3
MAX_BYTES = 256 * 1024 * 1024
"""Size limit of an unpacked history: several times what Temporal allows."""


def pack(events: Sequence[HistoryEvent]) -> bytes:
    """Compress the events as Temporal sent them, with payloads still encoded."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(History(events=events).SerializeToString())


def unpack(data: bytes) -> list[HistoryEvent]:
    """The events of an archived history. Raises Conflict if it is too large (before unpacking anything) or damaged."""
    try:
        # If a frame states its size, the decompressor uses that and ignores `max_output_size`.
        if zstandard.frame_content_size(data) > MAX_BYTES:
            raise Conflict(f"the archived history is larger than {MAX_BYTES // 1024**2} MiB, so it can't be read")
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_BYTES)
        return list(History.FromString(raw).events)
    except (zstandard.ZstdError, DecodeError) as error:
        raise Conflict("the archived history is damaged, so it can't be read") from error
