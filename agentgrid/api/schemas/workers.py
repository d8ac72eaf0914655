"""Workers and task queues, as Temporal reports them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out


class WorkerSlots(Out):
    """A worker's task slots of one kind."""

    used: int
    available: int


class WorkerOut(Out):
    """One worker process polling one task queue."""

    worker_id: str
    identity: str
    host: str | None
    process: str | None
    task_queue: str
    status: Literal["live", "stale", "shutting_down"]
    started_at: datetime | None
    last_heartbeat_at: datetime | None
    sdk: str
    build: str | None
    workflow_slots: WorkerSlots | None
    activity_slots: WorkerSlots | None


class WorkerList(Out):
    """All workers with a recent heartbeat in Temporal."""

    items: list[WorkerOut]
    next_cursor: str | None = None


class Poller(Out):
    """One poller of a task queue."""

    identity: str
    kind: Literal["workflow", "activity"]
    last_access_at: datetime | None


class TaskQueueOut(Out):
    """A task queue named in the catalog or by an open run."""

    name: str
    served: bool = Field(description="False if nothing polls the queue, so its runs wait.")
    pollers: list[Poller]
    workflows: list[str]
    tools: list[str]
    open_runs: int


class TaskQueueList(Out):
    """All task queues."""

    items: list[TaskQueueOut]
    next_cursor: str | None = None
