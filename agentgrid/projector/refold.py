"""Refolds an execution from its first event, read from the archive or from Temporal. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.history.v1 import HistoryEvent

from agentgrid.projector.decode import decode
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.history_events import DecodedEvent
from agentgrid.projector.store import Archive, FoldResult
from agentgrid.temporal.archive import pack, unpack
from agentgrid.temporal.history import CLOSING, ExecutionId, HistoryReader
from agentgrid.temporal.payloads import decode_events


class Refolder:
    """Refolds executions whose histories it reads through one reader."""

    def __init__(self, reader: HistoryReader) -> None:
        self.reader = reader
        self._converter = reader.client.data_converter

    async def check(self, execution: ExecutionId, archive: Archive | None) -> FoldResult:
        """Fold the whole history, from the archive if there is one. The result replaces the stored rows. Raises NotFound, Conflict, RPCError, TornHistory."""
        if archive is not None:
            return await self._refold(execution, unpack(archive.events), archive)
        history = await self.reader.tail(execution, after=0)
        return await self._refold(execution, history, archived(history) if closes(history) else None)

    async def _refold(self, execution: ExecutionId, history: list[HistoryEvent], archive: Archive | None) -> FoldResult:
        state, changes = fold(FoldState(execution_id=execution.execution_id), await self.decoded(history))
        return FoldResult(execution=execution, base=0, state=state, changes=changes, replace=True, archive=archive)

    async def decoded(self, events: Sequence[HistoryEvent]) -> list[DecodedEvent]:
        """The events in the form that the fold reads."""
        await decode_events(events, self._converter)
        return decode(events, self._converter.payload_converter)


def archived(history: Sequence[HistoryEvent]) -> Archive:
    """Pack a whole history. Call this before decoding, which changes the events in place."""
    return Archive(events=pack(history), event_count=len(history))


def closes(events: Sequence[HistoryEvent]) -> bool:
    """Whether the last event ends the execution."""
    return bool(events) and events[-1].event_type in CLOSING
