"""Looks at one execution: reads its new events, folds them, and calls Describe for what history doesn't show. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.errors import NotFound
from agentgrid.projector import live, looks
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.row_changes import RowChanges
from agentgrid.projector.fold.state import FoldState
from agentgrid.projector.refold import Refolder, archived, closes
from agentgrid.projector.store import Archive, FoldResult, LiveReport, LoadedState, Store
from agentgrid.temporal.history import ExecutionId, HistoryReader, RewoundHistory


@dataclass(frozen=True, kw_only=True)
class LookResult:
    """The result of a look: rows to write, if anything is new, and when to look again."""

    folded: FoldResult | None
    last_event_id: int
    closed: bool
    look_at: datetime | None


class Looker:
    """Looks at executions through one reader; reads only archives from the store."""

    def __init__(self, reader: HistoryReader, store: Store) -> None:
        self.foreign_interval = looks.FOREIGN_INTERVAL
        self._reader = reader
        self._store = store
        self._refolder = Refolder(reader)
        self._payloads = reader.client.data_converter.payload_converter

    async def look(self, execution: ExecutionId, loaded: LoadedState, *, hinted: bool = False) -> LookResult:
        """Read and fold the events after those already projected.

        hinted: something reported news; if history has none, the news is about an activity's attempt.
        Raises NotFound if neither Temporal nor the archive has the execution; RPCError, TornHistory.
        """
        base = loaded.state.last_event_id
        if loaded.state.closed and not loaded.replace:
            return LookResult(folded=None, last_event_id=base, closed=True, look_at=None)
        try:
            events = await self._reader.tail(execution, after=base)
        except NotFound:
            if (archive := await self._archive(execution)) is None:
                raise
            return _ended(await self._refolder.check(execution, archive))
        except RewoundHistory:
            refolded = await self._refolder.check(execution, await self._archive(execution))
            rewound = replace(refolded, base=base, rewound=True)
            return LookResult(folded=rewound, last_event_id=base, closed=False, look_at=datetime.now(UTC))
        if closes(events):
            return _ended(await self._close(execution, loaded, events))
        state, changes = loaded.state, RowChanges()
        if events:
            state, changes = fold(state, await self._refolder.decoded(events))
        return await self._open(execution, loaded, state, changes, hinted=hinted)

    async def _archive(self, execution: ExecutionId) -> Archive | None:
        return (await self._store.archives([execution.execution_id])).get(execution.execution_id)

    async def _close(self, execution: ExecutionId, loaded: LoadedState, history: list[HistoryEvent]) -> FoldResult:
        """Fold a closed execution. The read that found its end has the whole history, so it also gives the archive."""
        base = loaded.state.last_event_id
        reset_to = None
        if history[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            # A reset terminates the execution that it replaces, but this history doesn't name the new one.
            answer = await self._reader.describe(execution)
            reset_to = answer.workflow_extended_info.reset_run_id or None
        archive = archived(history)
        state, changes = fold(loaded.state, await self._refolder.decoded(history[base:]))
        return FoldResult(
            execution=execution,
            run_id=loaded.run_id,
            base=base,
            state=state,
            changes=changes,
            replace=loaded.replace,
            reset_to=reset_to,
            archive=archive,
        )

    async def _open(
        self, execution: ExecutionId, loaded: LoadedState, state: FoldState, changes: RowChanges, *, hinted: bool
    ) -> LookResult:
        now = datetime.now(UTC)
        moved = state.last_event_id != loaded.state.last_event_id
        checked_at, report, look_at = loaded.live_checked_at, None, None
        if looks.describe_due(state, checked_at, now=now, hinted=hinted and not moved):
            report = await self._live_report(execution, state, now)
            if report is None:
                look_at = now + looks.AFTER_TIMER
            else:
                checked_at = now
        if look_at is None:
            look_at = looks.next_look(state, checked_at, report, now=now, foreign_interval=self.foreign_interval)
        folded = None
        if moved or report is not None or loaded.replace:
            folded = FoldResult(
                execution=execution,
                run_id=loaded.run_id,
                base=loaded.state.last_event_id,
                state=state,
                changes=changes,
                replace=loaded.replace,
                live=report,
            )
        return LookResult(folded=folded, last_event_id=state.last_event_id, closed=False, look_at=look_at)

    async def _live_report(self, execution: ExecutionId, state: FoldState, now: datetime) -> LiveReport | None:
        """Temporal's live report; None if the execution has moved on since its history was read, so that the report is about a later state."""
        answer = await self._reader.describe(execution)
        # Describe also counts the events of the workflow task in flight; history has them only once it ends.
        if answer.workflow_execution_info.history_length > state.last_event_id + 2:
            return None
        return live.read(answer, state, self._payloads, now)


def _ended(folded: FoldResult) -> LookResult:
    return LookResult(folded=folded, last_event_id=folded.state.last_event_id, closed=True, look_at=None)
