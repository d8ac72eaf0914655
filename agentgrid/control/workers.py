"""Workers and task queue pollers, as Temporal reports them. Cached for a few seconds, because lists ask repeatedly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import temporalio.api.workflowservice.v1 as service
from temporalio.api.enums.v1 import TaskQueueType, WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.client import Client

from agentgrid.control.plane import ControlPlane
from agentgrid.control.rpc import call_temporal
from agentgrid.errors import AgentGridError
from agentgrid.temporal import rpc

Answer = TypeVar("Answer")

WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
ACTIVITY = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY

FRESH_SECONDS = 3.0
LIVE_SECONDS = 70.0
"""A poller that has not polled for this long is gone: pollers poll at least once a minute."""
PARALLEL = 8
STALE_SECONDS = 150.0
"""A worker sends a heartbeat every 60 s, or every 10 s if AgentGrid created its client."""


class _Cached(Generic[Answer]):
    """A cache that keeps each answer for a few seconds; concurrent requests share one call."""

    def __init__(self) -> None:
        self._answers: dict[object, tuple[float, asyncio.Future[Answer]]] = {}

    async def get(self, key: object, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        now = time.monotonic()
        cached = self._answers.get(key)
        if cached is not None and now - cached[0] < FRESH_SECONDS:
            return await asyncio.shield(cached[1])
        future: asyncio.Future[Answer] = asyncio.ensure_future(ask())
        self._answers = {name: (at, answer) for name, (at, answer) in self._answers.items() if now - at < FRESH_SECONDS}
        self._answers[key] = (now, future)
        return await asyncio.shield(future)


_HEARTBEATS: WeakKeyDictionary[Client, _Cached[list[WorkerHeartbeat]]] = WeakKeyDictionary()
_QUEUES: WeakKeyDictionary[Client, _Cached[service.DescribeTaskQueueResponse]] = WeakKeyDictionary()


async def task_queue(
    plane: ControlPlane, name: str, kind: TaskQueueType.ValueType
) -> service.DescribeTaskQueueResponse:
    """The pollers of the queue. Raises Unavailable."""
    cached = _QUEUES.setdefault(plane.temporal, _Cached())
    return await cached.get(
        (name, kind),
        lambda: call_temporal(
            rpc.describe_task_queue(plane.temporal, name, kind=kind), noun="task queue", identifier=name
        ),
    )


def is_polled(answer: service.DescribeTaskQueueResponse) -> bool:
    """Whether the queue was polled recently."""
    now = time.time()
    return any(now - poller.last_access_time.ToSeconds() < LIVE_SECONDS for poller in answer.pollers)


async def served(plane: ControlPlane, names: Sequence[str], kind: TaskQueueType.ValueType) -> dict[str, bool | None]:
    """Whether a live worker polls each queue; None if Temporal can't say."""
    limit = asyncio.Semaphore(PARALLEL)

    async def check(name: str) -> bool | None:
        async with limit:
            try:
                return is_polled(await task_queue(plane, name, kind))
            except AgentGridError:
                return None

    distinct = list(dict.fromkeys(names))
    answers = await asyncio.gather(*(check(name) for name in distinct))
    return dict(zip(distinct, answers, strict=True))


async def silence(plane: ControlPlane, queue: str, seconds: float) -> str:
    """A likely reason why no worker answered within this time, in words."""
    if (await served(plane, [queue], WORKFLOW))[queue] is False:
        return f"no worker polls its task queue {queue!r}"
    return f"no worker answered within {seconds:g} s"


async def heartbeats(plane: ControlPlane) -> list[WorkerHeartbeat]:
    """The last heartbeat of every worker. Raises Unavailable."""
    cached = _HEARTBEATS.setdefault(plane.temporal, _Cached())
    return await cached.get("", lambda: call_temporal(rpc.list_workers(plane.temporal), noun="workers"))


def is_stale(beat: WorkerHeartbeat) -> bool:
    """Whether the worker has been silent for too long."""
    return time.time() - beat.heartbeat_time.ToSeconds() > STALE_SECONDS


def is_stopping(beat: WorkerHeartbeat) -> bool:
    """Whether the worker's last heartbeat said that it is shutting down."""
    return beat.status in (WorkerStatus.WORKER_STATUS_SHUTTING_DOWN, WorkerStatus.WORKER_STATUS_SHUTDOWN)
