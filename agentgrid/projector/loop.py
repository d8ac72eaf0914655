"""The projector's loop: claim what is due, look at each, write, say when to look again.

A claim is a lease, committed before Temporal is read: a lock held across the read would block the workers, who touch the same rows. A
touch during the look raises the row's generation, so the look is repeated instead of forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.service import RPCError, RPCStatusCode

from agentgrid.db.away import DATABASE_AWAY, DATABASE_FAULTS
from agentgrid.domain.backoff import backoff
from agentgrid.errors import NotFound
from agentgrid.projector import health, queue
from agentgrid.projector.batches import Batches
from agentgrid.projector.listener import Listener
from agentgrid.projector.pace import Pace
from agentgrid.projector.queue import Claim, Done
from agentgrid.projector.store import FoldResult, Store
from agentgrid.projector.work import Looked, Looker
from agentgrid.temporal.history import TornHistory

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
CONCURRENCY = 64
COMPANY_SECONDS = 0.1
"""The first that has been read waits at most so long for those that were claimed with it."""
AWAY_SECONDS = 1.0
TEMPORAL_AWAY = timedelta(seconds=1)
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 300.0
EXPECT_TRIES = 6
EXPECT_FIRST_SECONDS = 0.05
EXPECT_MOST_SECONDS = 1.6
CLOCKS_APART = timedelta(milliseconds=10)
REMEMBERED = 10_000
AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, kw_only=True)
class LookOutcome:
    """What one look came to: what is to be written, if anything, and what becomes of the claim then."""

    done: Done
    folded: FoldResult | None = None


class Loop:
    """One projector's share of the work; any number of them may run."""

    def __init__(self, store: Store, looker: Looker, listener: Listener, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._store = store
        self._looker = looker
        self._listener = listener
        self._writes: Batches[LookOutcome, None] = Batches(self._write, company=self._company)
        self._poll_seconds = poll_seconds
        self._pace = Pace()
        self._working: set[asyncio.Task[None]] = set()
        self._reading = 0
        self._read = asyncio.Event()
        """Set while nothing is being read."""
        self._missing: OrderedDict[str, int] = OrderedDict()
        """How often an execution was found to be shorter than expected, one after another."""
        self._free = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled; then finish what was claimed, as far as it goes."""
        writing = asyncio.create_task(self._writes.run())
        try:
            while True:
                await self._turn()
        finally:
            if self._working:
                await asyncio.wait(self._working, timeout=5)
            for task in self._working:
                task.cancel()
            writing.cancel()

    async def _turn(self) -> None:
        room = CONCURRENCY - len(self._working)
        if room == 0:
            self._free.clear()
            await self._free.wait()
            return
        began, delay = asyncio.get_running_loop().time(), self._pace.delay
        try:
            await queue.take_touches(self._store.pool)
            claims = await queue.claim(self._store.pool, limit=room, delay=delay, brief=self._pace.brief)
        except DATABASE_FAULTS as error:
            log.warning("database_away", error=str(error))
            await asyncio.sleep(AWAY_SECONDS)
            return
        for each in claims:
            task = asyncio.create_task(self._work(each))
            self._working.add(task)
            task.add_done_callback(self._worked)
        self._pace.looked((each.execution.execution_id for each in claims), at=began)
        if len(claims) == room:
            return
        if began <= self._listener.heard_at + delay.total_seconds():
            # Something that was heard of may have been too young for this claim.
            await asyncio.sleep(self._pace.beat.total_seconds())
        elif await self._listener.wait(self._poll_seconds):
            await asyncio.sleep(self._pace.delay.total_seconds())

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("projector_task_failed", error=str(error), exc_info=error)

    async def _company(self) -> None:
        """Let those that are being read join the batch, for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMPANY_SECONDS):
                await self._read.wait()

    async def _write(self, passes: Sequence[LookOutcome]) -> list[None]:
        """Commit what was found, then be done with the claims; what somebody else has overtaken is looked at again."""
        found = [each.folded for each in passes if each.folded is not None]
        written = await self._store.write(found) if found else []
        overtaken = {folded.execution for folded, mine in zip(found, written, strict=True) if not mine}
        now = datetime.now(UTC)
        done = [
            Done(claim=each.done.claim, look_at=now) if each.done.claim.execution in overtaken else each.done
            for each in passes
        ]
        if await queue.finish(self._store.pool, done):
            self._listener.hear()
        return [None] * len(passes)

    async def _look(self, claim: Claim) -> LookOutcome:
        self._reading += 1
        self._read.clear()
        try:
            hinted = claim.expect <= claim.loaded.state.last_event_id
            looked = await self._looker.look(claim.execution, claim.loaded, hinted=hinted)
            return LookOutcome(folded=looked.folded, done=self._done(claim, looked))
        except TornHistory:
            return LookOutcome(done=Done(claim=claim, look_at=datetime.now(UTC), expect=claim.expect))
        finally:
            self._reading -= 1
            if self._reading == 0:
                self._read.set()

    async def _work(self, claim: Claim) -> None:
        """Look at one execution. Its faults are its own: they never stop the others."""
        try:
            await self._writes.put(await self._look(claim))
        except NotFound:
            await self._unknown(claim)
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT and claim.loaded.run_id is None:
                # A touch with an id that is not an execution id.
                await self._unknown(claim)
            elif error.status not in AWAY:
                await self._failed(claim, error)
            else:
                log.warning("temporal_away", status=error.status.name)
                await queue.postpone(self._store.pool, claim, wait=TEMPORAL_AWAY)
        except asyncio.CancelledError:
            await queue.release(self._store.pool, [claim])
            raise
        except DATABASE_AWAY as error:
            # No fault of this execution.
            log.warning("database_away", error=f"{type(error).__name__}: {error}")
            await self._let_go(claim)
        except Exception as error:
            await self._failed(claim, error)

    async def _let_go(self, claim: Claim) -> None:
        """Let it be claimed again soon: a lost connection must not cost a lease. If the database stays away, that ends by itself."""
        await asyncio.sleep(AWAY_SECONDS)
        with contextlib.suppress(*DATABASE_AWAY):
            await queue.release(self._store.pool, [claim])

    def _done(self, claim: Claim, looked: Looked) -> Done:
        key = claim.execution.execution_id
        if looked.closed or looked.last_event_id >= claim.expect:
            self._missing.pop(key, None)
            return Done(claim=claim, look_at=looked.look_at)
        # The touch was made as the workflow task began; its end isn't in history yet, or the task failed.
        tries = self._missing.pop(key, 0) + 1
        if tries > EXPECT_TRIES:
            return Done(claim=claim, look_at=looked.look_at)
        self._missing[key] = tries
        while len(self._missing) > REMEMBERED:
            self._missing.popitem(last=False)
        wait = timedelta(seconds=backoff(EXPECT_FIRST_SECONDS, EXPECT_MOST_SECONDS, tries=tries - 1))
        soon = datetime.now(UTC) + wait
        # Nobody else will say when it is due.
        asyncio.get_running_loop().call_later((wait + CLOCKS_APART).total_seconds(), self._listener.hear)
        look_at = min(soon, looked.look_at) if looked.look_at is not None else soon
        return Done(claim=claim, look_at=look_at, expect=claim.expect)

    async def _unknown(self, claim: Claim) -> None:
        """Handle an execution deleted from Temporal and never archived: keep its projection, with a note, or forget it if there is none."""
        health.unknown.inc()
        if claim.loaded.run_id is not None:
            log.warning("execution_unknown", execution_id=claim.execution.execution_id)
        await self._store.note_unknown(claim.execution.execution_id)
        await queue.forget(self._store.pool, claim.execution.execution_id)

    async def _failed(self, claim: Claim, error: Exception) -> None:
        wait = timedelta(seconds=backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=claim.failures))
        log.error(
            "execution_not_projected",
            execution_id=claim.execution.execution_id,
            failures=claim.failures + 1,
            error=f"{type(error).__name__}: {error}",
            exc_info=error,
        )
        await queue.fail(self._store.pool, claim, error=f"{type(error).__name__}: {error}", wait=wait)
