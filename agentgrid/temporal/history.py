"""Reads histories: only committed events, only new ones, and within a budget.

Histories are read *in reverse*. A forward read of an open execution also returns the events of a workflow task in flight, under ids that
other events may get later; a fold of those would miss the real ones. A reverse read returns committed events only. A read that finds the
end of an execution continues to its beginning, so that it returns the archive and no other read is needed for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import temporalio.api.workflowservice.v1 as service
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from agentgrid.domain.backoff import backoff, jittered
from agentgrid.errors import NotFound

READS_PER_SECOND = 300.0
READ_BURST = 100
FIRST_PAGE = 8
"""Batches of events in the first page of a tail read; doubled for each further page."""
SHORT = 64
"""A history not known to be longer than this is read in one page: a further call costs more than rereading known events."""
LARGEST_PAGE = 1024
DEADLINE = timedelta(seconds=10)
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
MAX_TRIES = 6

CLOSING = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)
"""The last event of a closed execution is one of these."""

Answer = TypeVar("Answer")


class ReadBudget:
    """A token bucket for all reads of a process. After RESOURCE_EXHAUSTED all reads pause, with exponential backoff."""

    def __init__(self, *, per_second: float = READS_PER_SECOND, burst: int = READ_BURST) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = time.monotonic()
        self._paused_until = 0.0
        self._refusals = 0

    async def take(self) -> None:
        """Wait for one token."""
        while True:
            wait = self._take()
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    def _take(self) -> float:
        now = time.monotonic()
        if now < self._paused_until:
            return self._paused_until - now
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0

    def exhausted(self) -> None:
        """Record a RESOURCE_EXHAUSTED response: all reads pause."""
        pause = jittered(backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, tries=self._refusals))
        self._paused_until = max(self._paused_until, time.monotonic() + pause)
        self._refusals += 1

    def answered(self) -> None:
        """Record a response: the backoff starts over."""
        self._refusals = 0


@dataclass(frozen=True, kw_only=True)
class ExecutionId:
    """The ids of one execution."""

    workflow_id: str
    execution_id: str

    @property
    def proto(self) -> WorkflowExecution:
        """The ids as a message for Temporal's requests."""
        return WorkflowExecution(workflow_id=self.workflow_id, run_id=self.execution_id)


class TornHistory(Exception):
    """The pages of one read don't fit together; retry the read."""


class RewoundHistory(Exception):
    """The history is shorter than what was read before: Temporal was restored to an earlier time."""


class HistoryReader:
    """Reads histories and descriptions through one client and one budget."""

    def __init__(self, client: Client, budget: ReadBudget | None = None) -> None:
        self.client = client
        self.budget = budget or ReadBudget()
        self.calls: Counter[str] = Counter()
        """The number of calls of each kind: `history`, `describe`, `list`."""

    @property
    def reads(self) -> int:
        """The number of all calls."""
        return self.calls.total()

    async def tail(self, execution: ExecutionId, *, after: int) -> list[HistoryEvent]:
        """The committed events after this id, oldest first; for a closed execution, all of its events.

        Raises NotFound, RPCError, TornHistory, RewoundHistory.
        """
        newest_first: list[HistoryEvent] = []
        size, token = SHORT if after < SHORT else FIRST_PAGE, b""
        while True:
            request = service.GetWorkflowExecutionHistoryReverseRequest(
                namespace=self.client.namespace,
                execution=execution.proto,
                maximum_page_size=size,
                next_page_token=token,
            )
            answer = await self._call(
                "history",
                execution,
                lambda request=request: self.client.workflow_service.get_workflow_execution_history_reverse(  # type: ignore[misc]
                    request, timeout=DEADLINE
                ),
            )
            newest_first.extend(answer.history.events)
            token = answer.next_page_token
            closed = bool(newest_first) and newest_first[0].event_type in CLOSING
            first = 1 if closed else after + 1
            if not token or (newest_first and newest_first[-1].event_id <= first):
                break
            size = min(size * 2, LARGEST_PAGE)
        if not newest_first or newest_first[0].event_id < after:
            raise RewoundHistory(f"nothing follows event {after} of execution {execution.execution_id}")
        events = [event for event in reversed(newest_first) if event.event_id >= first]
        _check(events, first=first)
        return events

    async def describe(self, execution: ExecutionId) -> service.DescribeWorkflowExecutionResponse:
        """Temporal's current description of the execution. Raises NotFound, RPCError."""
        request = service.DescribeWorkflowExecutionRequest(namespace=self.client.namespace, execution=execution.proto)
        return await self._call(
            "describe",
            execution,
            lambda: self.client.workflow_service.describe_workflow_execution(request, timeout=DEADLINE),
        )

    async def visible(self, query: str, *, token: bytes, page: int) -> service.ListWorkflowExecutionsResponse:
        """One page of Temporal's visibility. Raises RPCError."""
        request = service.ListWorkflowExecutionsRequest(
            namespace=self.client.namespace, query=query, page_size=page, next_page_token=token
        )
        return await self._call(
            "list", None, lambda: self.client.workflow_service.list_workflow_executions(request, timeout=DEADLINE)
        )

    async def _call(self, kind: str, execution: ExecutionId | None, call: Callable[[], Awaitable[Answer]]) -> Answer:
        for attempt in range(1, MAX_TRIES + 1):
            await self.budget.take()
            self.calls[kind] += 1
            try:
                answer = await call()
            except RPCError as error:
                if error.status is RPCStatusCode.RESOURCE_EXHAUSTED and attempt < MAX_TRIES:
                    self.budget.exhausted()
                    continue
                if error.status is RPCStatusCode.NOT_FOUND and execution is not None:
                    raise NotFound("execution", execution.execution_id) from error
                raise
            except RuntimeError as error:
                # The SDK raises this if a lazy client can't connect on its first call.
                raise RPCError(f"Temporal can't be reached: {error}", RPCStatusCode.UNAVAILABLE, b"") from error
            self.budget.answered()
            return answer
        raise AssertionError("unreachable")


def _check(events: list[HistoryEvent], *, first: int) -> None:
    for expected, event in enumerate(events, start=first):
        if event.event_id != expected:
            raise TornHistory(f"expected event {expected}, got {event.event_id}")
