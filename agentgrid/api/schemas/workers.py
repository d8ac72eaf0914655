"""Workers and task queues, as Temporal tells of them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from agentgrid.api.schemas.common import Out


class WorkerSlots(Out):
    """How many tasks of one kind a worker takes."""

    used: int
    available: int


class WorkerOut(Out):
    """One worker process's poller of one task queue."""

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
    """All workers that Temporal has heard of lately."""

    items: list[WorkerOut]
    next_cursor: str | None = None


class Poller(Out):
    """One poller of a task queue."""

    identity: str
    kind: Literal["workflow", "activity"]
    last_access_at: datetime | None


class TaskQueueOut(Out):
    """A task queue that the catalog or an open run names."""

    name: str
    served: bool = Field(description="False: nothing polls it, so its runs wait.")
    pollers: list[Poller]
    workflows: list[str]
    tools: list[str]
    open_runs: int


class TaskQueueList(Out):
    """All task queues."""

    items: list[TaskQueueOut]
    next_cursor: str | None = None
