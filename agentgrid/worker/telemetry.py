"""A worker's reports to the control plane: touches, jobs and logs, in batches, from bounded buffers.

Reporting never blocks or fails a step. Producers (activities on the event loop; workflows and log handlers on other threads) only append under a
short lock; one task sends. While the database is unreachable, touches are kept, merged by execution; jobs and logs are kept up to a limit.
Dropped reports are counted and logged. A touch is only a hint: the projector's sweep finds executions that were never touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from temporalio import activity

from agentgrid.db.away import DATABASE_FAULTS
from agentgrid.domain.backoff import backoff, jittered
from agentgrid.domain.steps import JobStatus
from agentgrid.logging import get_logger, worth_a_line
from agentgrid.worker import background, logs
from agentgrid.worker.deltas import DeltaPart

log = get_logger()

MAX_TOUCHES = 50_000
MAX_JOBS = 20_000
MAX_LOGS = 20_000
MAX_DELTAS = 200
BATCH = 1_000
FLUSH_SECONDS = 0.02
"""How long a batch's first touch waits for more."""
MAX_FLUSH_SECONDS = 0.2
LINGER_SECONDS = 0.015
"""Additional wait for each touch in the previous batch: above about 65 a second, the wait reaches its maximum."""
TELEMETRY_SECONDS = 0.25
"""The delay for jobs and logs. They can wait longer, because nothing depends on them."""
SEND_TIMEOUT_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """One attempt on this worker. Sent when it starts, and again when it ends."""

    job_id: str
    started_at: datetime
    execution_id: str
    workflow_id: str
    activity_id: str
    activity_type: str
    attempt: int
    local: bool
    call_key: str | None
    worker: str
    task_queue: str
    status: JobStatus = JobStatus.RUNNING
    finished_at: datetime | None = None
    error: dict[str, Any] | None = None


class Telemetry:
    """The buffers and their sender; collects nothing without a database. `dropped` counts lost reports since the start, `standalones` attempts
    that belonged to no run.
    """

    def __init__(self, dsn: str | None, *, namespace: str, worker: str) -> None:
        self.dsn = dsn
        self.namespace = namespace
        self.worker = worker
        self.task_queue: str | None = None
        """The queue whose runs' log lines are captured; all queues of the process if None."""
        self._lock = threading.Lock()
        self._touches: dict[str, tuple[str, int, bool]] = {}
        self._flush_seconds = FLUSH_SECONDS
        self._jobs: dict[str, JobReport] = {}
        self._logs: deque[dict[str, Any]] = deque()
        self._deltas: deque[DeltaPart] = deque(maxlen=MAX_DELTAS)
        self.dropped = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._touched = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._connection: asyncpg.Connection[Any] | None = None
        self.standalones = 0

    # --- producers: any thread -----------------------------------------------------------------------------------

    def touch(self, execution_id: str, workflow_id: str, expect: int, urgent: bool = False) -> None:
        """Report that an execution's history will reach `expect` events. urgent: it pauses there, so there is nothing to wait for."""
        if self.dsn is None:
            return
        with self._lock:
            pending = self._touches.get(execution_id)
            if pending is None and len(self._touches) >= MAX_TOUCHES:
                self.dropped += 1
                return
            _, before, was_urgent = pending or (workflow_id, 0, False)
            self._touches[execution_id] = (workflow_id, max(expect, before), urgent or was_urgent)
        self._notify(self._touched)

    def job(self, report: JobReport) -> None:
        """Report an attempt's start or end. The end replaces a start that hasn't been sent yet."""
        if self.dsn is None:
            return
        with self._lock:
            if report.job_id not in self._jobs and len(self._jobs) >= MAX_JOBS:
                self.dropped += 1
                return
            self._jobs[report.job_id] = report
        self._notify()

    def standalone(self, info: activity.Info, *, passed: bool) -> None:
        """Log an activity that a client started outside a workflow: it belongs to no run, so this line is its only trace."""
        self.standalones += 1
        log.warning(
            "standalone_activity",
            activity_type=info.activity_type,
            activity_id=info.activity_id,
            activity_run_id=info.activity_run_id,
            attempt=info.attempt,
            namespace=info.namespace,
            task_queue=info.task_queue,
            passed=passed,
            count=self.standalones,
        )

    def line(self, entry: dict[str, Any]) -> None:
        """Report one log line."""
        with self._lock:
            if len(self._logs) >= MAX_LOGS:
                self.dropped += 1
                return
            self._logs.append(entry)
        self._notify()

    def delta(self, delta: DeltaPart) -> None:
        """Report part of a model's answer. The oldest parts are dropped without being counted: people watching can read the full answer later."""
        if self.dsn is None:
            return
        self._deltas.append(delta)
        self._notify()

    def _notify(self, *also: asyncio.Event) -> None:
        loop = self._loop
        for event in (self._wake, *also):
            if loop is not None and not event.is_set():
                with contextlib.suppress(RuntimeError):  # the loop closed while a workflow thread was running
                    loop.call_soon_threadsafe(event.set)

    # --- the sender ----------------------------------------------------------------------------------------------

    async def start(self, task_queue: str | None = None) -> None:
        """Start sending, and capturing the log lines of workflows and activities."""
        if self.dsn is None:
            return
        self._loop = asyncio.get_running_loop()
        self.task_queue = task_queue
        logs.attach(self)
        self._task = background.in_background(self._run(), "agentgrid-telemetry")

    async def stop(self) -> None:
        """Spend at most a few seconds sending what is left, then stop."""
        if self.dsn is None:
            return
        logs.detach(self)
        if self._task is not None:
            # A cancelled statement may still have been carried out; its reports would then be sent twice.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SEND_TIMEOUT_SECONDS), self._sending:
                    self._task.cancel()
            await background.stop(self._task)
        with contextlib.suppress(*DATABASE_FAULTS):
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                while self._pending:
                    await self._send(telemetry=True)
        await self._disconnect()
        if self.dropped or self._pending:
            log.warning("telemetry_lost", dropped=self.dropped, unsent=self._pending)

    @property
    def _pending(self) -> int:
        return len(self._touches) + len(self._jobs) + len(self._logs) + len(self._deltas)

    async def _run(self) -> None:
        failures, sent_at = 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            if not self._pending:
                self._wake.clear()
            if not self._pending:
                await self._wake.wait()
            self._touched.clear()
            if not self._touches:
                # Jobs and logs may wait, but not a touch that arrives in the meantime.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TELEMETRY_SECONDS):
                        await self._touched.wait()
            if self._touches:
                await asyncio.sleep(self._flush_seconds)
            due = loop.time() - sent_at >= TELEMETRY_SECONDS
            if not self._touches and not due:
                continue
            try:
                async with self._sending:
                    await self._send(telemetry=due)
                if due:
                    sent_at = loop.time()
                failures = 0
            except DATABASE_FAULTS as error:
                failures += 1
                if worth_a_line(failures):
                    log.warning(
                        "telemetry_not_sent",
                        error=str(error) or type(error).__name__,
                        waiting=self._pending,
                        dropped=self.dropped,
                    )
                await self._disconnect()
                await asyncio.sleep(jittered(backoff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, tries=failures - 1)))

    async def _send(self, *, telemetry: bool) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self.dsn,
                timeout=SEND_TIMEOUT_SECONDS,
                command_timeout=SEND_TIMEOUT_SECONDS,
                # Workers with the same login wait for each other's commits, and losing these reports does no harm.
                server_settings={"application_name": "agentgrid-worker", "synchronous_commit": "off"},
            )
        await self._send_touches(self._connection)
        if telemetry:
            await self._send_reports(self._connection)
            await self._send_deltas(self._connection)

    async def _send_touches(self, connection: asyncpg.Connection[Any]) -> None:
        with self._lock:
            batch, self._touches = self._touches, {}
        if not batch:
            return
        rows = sorted(batch.items())
        try:
            await connection.execute(
                "SELECT agentgrid_touch($1, $2, $3, $4, $5)",
                self.namespace,
                [execution for execution, _ in rows],
                [workflow for _, (workflow, _, _) in rows],
                [expect for _, (_, expect, _) in rows],
                [urgent for _, (_, _, urgent) in rows],
            )
            self._flush_seconds = min(max(FLUSH_SECONDS, LINGER_SECONDS * len(rows)), MAX_FLUSH_SECONDS)
        except BaseException:
            with self._lock:  # reports that arrived in the meantime are newer, so they stay
                self._touches = batch | self._touches
            raise

    async def _send_deltas(self, connection: asyncpg.Connection[Any]) -> None:
        batch = [self._deltas.popleft() for _ in range(len(self._deltas))]
        if batch:
            # In one round trip, because the next touches wait for it. If one is refused, all are lost, as deltas may be.
            with contextlib.suppress(asyncpg.PostgresError):
                await connection.executemany(
                    "SELECT agentgrid_delta($1, $2, $3, $4, $5, $6, $7, $8)",
                    [tuple(vars(delta).values()) for delta in batch],
                )

    async def _send_reports(self, connection: asyncpg.Connection[Any]) -> None:
        with self._lock:
            jobs = [self._jobs.pop(job_id) for job_id in list(self._jobs)[:BATCH]]
            logs = [self._logs.popleft() for _ in range(min(BATCH, len(self._logs)))]
        if not jobs and not logs:
            return
        try:
            await connection.execute(
                "SELECT agentgrid_telemetry($1::json, $2::json)",
                _json([vars(job) for job in jobs]),
                _json(logs),
            )
        except asyncpg.DataError as error:
            # A line that the database refuses must not block the next ones.
            self.dropped += len(jobs) + len(logs)
            log.warning("telemetry_refused", error=str(error))
        except BaseException:
            with self._lock:
                self._jobs = {job.job_id: job for job in jobs} | self._jobs
                self._logs.extendleft(reversed(logs))
            raise

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*DATABASE_FAULTS):
                await connection.close(timeout=1)


def _json(rows: list[dict[str, Any]]) -> str:
    # PostgreSQL text can't contain NUL; its symbol is stored instead.
    return json.dumps(rows, default=str).replace("\\u0000", "\\u2400")
