"""Look at one execution: read what is new, decode it, fold it, ask Temporal for what history doesn't say. It writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from agentgrid.errors import NotFound
from agentgrid.projector import live
from agentgrid.projector.archive import pack, unpack
from agentgrid.projector.decode import decode
from agentgrid.projector.events import Event
from agentgrid.projector.fold import fold
from agentgrid.projector.fold.changes import Changes
from agentgrid.projector.fold.state import State
from agentgrid.projector.fold.summary import next_at
from agentgrid.projector.store import Archive, Folded, Live, Loaded, Store
from agentgrid.temporal.history import CLOSING, Execution, HistoryReader, RewoundHistory
from agentgrid.temporal.payloads import decode_events

FOREIGN_INTERVAL = timedelta(seconds=30)
"""How often an open execution is read whose worker touches nothing."""
AFTER_TIMER = timedelta(milliseconds=250)


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a look found: a pass to be written, if anything is new, and when to look again."""

    folded: Folded | None
    last_event_id: int
    closed: bool
    look_at: datetime | None


class Looker:
    """Looks at executions through one reader; the store is only read, for the archive."""

    def __init__(self, reader: HistoryReader, store: Store) -> None:
        self.reader = reader
        self.store = store
        self.foreign_interval = FOREIGN_INTERVAL
        converter = reader.client.data_converter
        self._converter = converter
        self._payloads = converter.payload_converter

    async def look(self, execution: Execution, loaded: Loaded, *, hinted: bool = False) -> Looked:
        """Read on from where the projection ends.

        hinted: somebody says that there is news; if history has none, it is about an attempt.
        Raises NotFound where neither Temporal nor the archive knows the execution; RPCError, TornHistory.
        """
        base = loaded.state.last_event_id
        if loaded.state.closed and not loaded.replace:
            return Looked(folded=None, last_event_id=base, closed=True, look_at=None)
        try:
            events = await self.reader.tail(execution, after=base)
        except NotFound:
            if (archive := await self._archive(execution)) is None:
                raise
            folded = await self.refold(execution, archive)
            return Looked(folded=folded, last_event_id=folded.state.last_event_id, closed=True, look_at=None)
        except RewoundHistory:
            rewound = replace(await self.check(execution, await self._archive(execution)), base=base, rewound=True)
            return Looked(folded=rewound, last_event_id=base, closed=False, look_at=datetime.now(UTC))
        if events and events[-1].event_type in CLOSING:
            folded = await self._close(execution, loaded, events)
            return Looked(folded=folded, last_event_id=folded.state.last_event_id, closed=True, look_at=None)
        state, changes = loaded.state, Changes()
        if events:
            state, changes = fold(state, await self._decoded(events))
        return await self._open(execution, loaded, state, changes, hinted=hinted)

    async def _close(self, execution: Execution, loaded: Loaded, whole: list[HistoryEvent]) -> Folded:
        """The closing read is the archive read."""
        base = loaded.state.last_event_id
        reset_to = None
        if whole[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            # So ends an open execution that is reset, and its own history doesn't say so.
            answer = await self.reader.describe(execution)
            reset_to = answer.workflow_extended_info.reset_run_id or None
        archive = pack(whole)
        state, changes = fold(loaded.state, await self._decoded(whole[base:]))
        return Folded(
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
        self, execution: Execution, loaded: Loaded, state: State, changes: Changes, *, hinted: bool
    ) -> Looked:
        now = datetime.now(UTC)
        base = loaded.state.last_event_id
        moved = state.last_event_id != base
        checked_at = loaded.live_checked_at
        seen: Live | None = None
        if self._asks(state, checked_at, now=now, hinted=hinted and not moved):
            answer = await self.reader.describe(execution)
            look_at: datetime | None
            if not _matches(answer.workflow_execution_info.history_length, state):
                # It has moved on since the read: what describe says is about a later state.
                look_at = now + AFTER_TIMER
            else:
                seen, checked_at = live.read(answer, state, self._payloads, now), now
                look_at = self._next_look(state, checked_at, seen, now)
        else:
            look_at = self._next_look(state, checked_at, None, now)
        folded = None
        if moved or seen is not None or loaded.replace:
            folded = Folded(
                execution=execution,
                run_id=loaded.run_id,
                base=base,
                state=state,
                changes=changes,
                replace=loaded.replace,
                live=seen,
            )
        return Looked(folded=folded, last_event_id=state.last_event_id, closed=False, look_at=look_at)

    def _asks(self, state: State, checked_at: datetime | None, *, now: datetime, hinted: bool) -> bool:
        at = live.ask_at(state, checked_at=checked_at, now=now)
        if at is None:
            return False
        if hinted:
            return checked_at is None or now - checked_at >= live.LEAST_INTERVAL
        return at <= now

    def _next_look(
        self, state: State, checked_at: datetime | None, seen: Live | None, now: datetime
    ) -> datetime | None:
        """The fold knows when something is due: a timer, an expiry, a retry, the end of our patience."""
        wanted: list[datetime] = []
        if (due := next_at(state)) is not None:
            # One that is past due means that no worker has taken what it set off.
            wanted.append(due + AFTER_TIMER if due > now else now + self.foreign_interval)
        if (ask := live.ask_at(state, checked_at=checked_at, now=now)) is not None:
            wanted.append(ask)
        if seen is not None and (retry := live.next_retry(seen)) is not None:
            wanted.append(max(retry + live.AFTER_RETRY, now + live.LEAST_INTERVAL))
        if not state.governed:
            wanted.append(now + self.foreign_interval)
        return min(wanted, default=None)

    async def archived(self, execution_ids: Collection[str]) -> dict[str, Archive]:
        """The archived histories, of those that have one."""
        records = await self.store.pool.fetch(
            "SELECT execution_id, events, event_count FROM histories WHERE execution_id = ANY($1)", list(execution_ids)
        )
        return {
            record["execution_id"]: Archive(events=record["events"], event_count=record["event_count"])
            for record in records
        }

    async def _archive(self, execution: Execution) -> Archive | None:
        return (await self.archived([execution.execution_id])).get(execution.execution_id)

    async def refold(self, execution: Execution, archive: Archive) -> Folded:
        """A pass over a whole archived history, to replace what the tables hold."""
        return await self._refold(execution, unpack(archive.events), archive)

    async def check(self, execution: Execution, archive: Archive | None = None) -> Folded:
        """A pass over the whole history, from the archive where it is given. Raises NotFound, RPCError, TornHistory."""
        if archive is not None:
            return await self.refold(execution, archive)
        whole = await self.reader.tail(execution, after=0)
        closed = bool(whole) and whole[-1].event_type in CLOSING
        return await self._refold(execution, whole, pack(whole) if closed else None)

    async def _refold(self, execution: Execution, whole: list[HistoryEvent], archive: Archive | None) -> Folded:
        state, changes = fold(State(execution_id=execution.execution_id), await self._decoded(whole))
        return Folded(execution=execution, base=0, state=state, changes=changes, replace=True, archive=archive)

    async def _decoded(self, events: Sequence[HistoryEvent]) -> list[Event]:
        await decode_events(events, self._converter)
        return decode(events, self._payloads)


def _matches(history_length: int, state: State) -> bool:
    # Describe counts the events of a workflow task that is being tried; history has them only when it ends.
    return history_length <= state.last_event_id + 2
