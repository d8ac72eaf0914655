"""The projector's loop: claim the executions that are due, look at each, write, schedule the next look.

A claim is a lease, committed before Temporal is read: a lock held during the read would block the workers, which touch the same rows. A
touch during the look raises the row's generation, so the execution is looked at again and the touch isn't lost.
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
from agentgrid.projector.queue import Claim, FinishedClaim
from agentgrid.projector.store import FoldResult, Store
from agentgrid.projector.work import Looker, LookResult
from agentgrid.temporal.history import TornHistory

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
CONCURRENCY = 64
BATCH_LINGER_SECONDS = 0.1
"""Maximum wait for the other reads in flight before a batch is written."""
AWAY_SECONDS = 1.0
TEMPORAL_AWAY = timedelta(seconds=1)
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 300.0
EXPECT_TRIES = 6
EXPECT_FIRST_SECONDS = 0.05
EXPECT_LONGEST_SECONDS = 1.6
CLOCK_SKEW = timedelta(milliseconds=10)
MAX_MISSING = 10_000
AWAY_STATUSES = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    """The result of one look: rows to write, if any, and how the claim is finished afterwards."""

    finished: FinishedClaim
    folded: FoldResult | None = None


class Loop:
    """The loop of one projector; any number of projectors may run."""

    def __init__(self, store: Store, looker: Looker, listener: Listener, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._store = store
        self._looker = looker
        self._listener = listener
        self._writes: Batches[ClaimResult, None] = Batches(self._write, linger=self._linger)
        self._poll_seconds = poll_seconds
        self._pace = Pace()
        self._working: set[asyncio.Task[None]] = set()
        self._reading = 0
        self._no_reads = asyncio.Event()
        """Set while no read is in flight."""
        self._missing: OrderedDict[str, int] = OrderedDict()
        """How many times in a row an execution's history was shorter than expected."""
        self._free = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled; then finish the claimed executions, waiting at most 5 seconds for them."""
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
        for claim in claims:
            task = asyncio.create_task(self._work(claim))
            self._working.add(task)
            task.add_done_callback(self._worked)
        self._pace.looked((claim.execution.execution_id for claim in claims), at=began)
        if len(claims) == room:
            return
        if began <= self._listener.heard_at + delay.total_seconds():
            # A recently notified change may have been too young for this claim.
            await asyncio.sleep(self._pace.claim_interval.total_seconds())
        elif await self._listener.wait(self._poll_seconds):
            await asyncio.sleep(self._pace.delay.total_seconds())

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        self._free.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("projector_task_failed", error=str(error), exc_info=error)

    async def _linger(self) -> None:
        """Let the reads in flight join the batch."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_LINGER_SECONDS):
                await self._no_reads.wait()

    async def _write(self, outcomes: Sequence[ClaimResult]) -> list[None]:
        """Commit the results, then finish the claims. An execution that another projector has moved on is looked at again."""
        results = [outcome.folded for outcome in outcomes if outcome.folded is not None]
        written = await self._store.write(results) if results else []
        overtaken = {result.execution for result, accepted in zip(results, written, strict=True) if not accepted}
        now = datetime.now(UTC)
        finished = [
            FinishedClaim(claim=outcome.finished.claim, look_at=now)
            if outcome.finished.claim.execution in overtaken
            else outcome.finished
            for outcome in outcomes
        ]
        if await queue.finish(self._store.pool, finished):
            self._listener.hear()
        return [None] * len(outcomes)

    async def _look(self, claim: Claim) -> ClaimResult:
        self._reading += 1
        self._no_reads.clear()
        try:
            hinted = claim.expect <= claim.loaded.state.last_event_id
            looked = await self._looker.look(claim.execution, claim.loaded, hinted=hinted)
            return ClaimResult(folded=looked.folded, finished=self._finished(claim, looked))
        except TornHistory:
            return ClaimResult(finished=FinishedClaim(claim=claim, look_at=datetime.now(UTC), expect=claim.expect))
        finally:
            self._reading -= 1
            if self._reading == 0:
                self._no_reads.set()

    async def _work(self, claim: Claim) -> None:
        """Look at one execution. Its errors never affect other executions."""
        try:
            await self._writes.put(await self._look(claim))
        except NotFound:
            await self._unknown(claim)
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT and claim.loaded.run_id is None:
                # A touch whose id isn't an execution id.
                await self._unknown(claim)
            elif error.status not in AWAY_STATUSES:
                await self._failed(claim, error)
            else:
                log.warning("temporal_away", status=error.status.name)
                await queue.postpone(self._store.pool, claim, wait=TEMPORAL_AWAY)
        except asyncio.CancelledError:
            await queue.release(self._store.pool, [claim])
            raise
        except DATABASE_AWAY as error:
            # Not this execution's fault.
            log.warning("database_away", error=f"{type(error).__name__}: {error}")
            await self._release_after_pause(claim)
        except Exception as error:
            await self._failed(claim, error)

    async def _release_after_pause(self, claim: Claim) -> None:
        """Release the claim, so that a lost connection doesn't cost a whole lease. If the database stays away, the lease expires."""
        await asyncio.sleep(AWAY_SECONDS)
        with contextlib.suppress(*DATABASE_AWAY):
            await queue.release(self._store.pool, [claim])

    def _finished(self, claim: Claim, looked: LookResult) -> FinishedClaim:
        key = claim.execution.execution_id
        if looked.closed or looked.last_event_id >= claim.expect:
            self._missing.pop(key, None)
            return FinishedClaim(claim=claim, look_at=looked.look_at)
        # The touch was made as the workflow task began; its end isn't in history yet, or the task failed.
        tries = self._missing.pop(key, 0) + 1
        if tries > EXPECT_TRIES:
            return FinishedClaim(claim=claim, look_at=looked.look_at)
        self._missing[key] = tries
        while len(self._missing) > MAX_MISSING:
            self._missing.popitem(last=False)
        wait = timedelta(seconds=backoff(EXPECT_FIRST_SECONDS, EXPECT_LONGEST_SECONDS, tries=tries - 1))
        soon = datetime.now(UTC) + wait
        # No notification will come when it is due.
        asyncio.get_running_loop().call_later((wait + CLOCK_SKEW).total_seconds(), self._listener.hear)
        look_at = min(soon, looked.look_at) if looked.look_at is not None else soon
        return FinishedClaim(claim=claim, look_at=look_at, expect=claim.expect)

    async def _unknown(self, claim: Claim) -> None:
        """Handle an execution that was deleted from Temporal and never archived: note it in its projection and remove it from the queue."""
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
