"""Whole histories as bytes: Temporal forgets a closed execution after its retention, its archive does not."""

from __future__ import annotations

from collections.abc import Sequence

import zstandard
from google.protobuf.message import DecodeError
from temporalio.api.history.v1 import History, HistoryEvent

from agentgrid.errors import Conflict

LEVEL = 3
MAX_BYTES = 256 * 1024 * 1024
"""Of an unpacked history: several times what Temporal allows one to have."""


def pack(events: Sequence[HistoryEvent]) -> bytes:
    """The events as Temporal sent them, payloads still encoded, compressed."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(History(events=events).SerializeToString())


def unpack(data: bytes) -> list[HistoryEvent]:
    """The events of an archived history. Raises Conflict if it is too large, and then unpacks nothing, or if it is no archive."""
    try:
        # Where a frame names its size, the decompressor follows that, not `max_output_size`.
        if zstandard.frame_content_size(data) > MAX_BYTES:
            raise Conflict(f"the archived history is larger than {MAX_BYTES // 1024**2} MiB, so it can't be read")
        raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_BYTES)
        return list(History.FromString(raw).events)
    except (zstandard.ZstdError, DecodeError) as error:
        raise Conflict("the archived history is damaged, so it can't be read") from error
