"""The task list: open work for people."""

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime

import agentgrid as ag
from activities.backoffice import Limit, Record, connection, effect_key, transaction

READ = timedelta(seconds=10)
WRITE = timedelta(seconds=20)


class TaskStatus(StrEnum):
    OPEN = "open"
    DONE = "done"
    DROPPED = "dropped"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Task(Record):
    """A task for a person; `about` is the id of the related object."""

    id: str
    title: str
    detail: str
    assignee: str | None
    priority: Priority
    status: TaskStatus
    about: str | None
    due_at: datetime | None
    created_at: datetime


@ag.tool(title="Create task", risk="write", timeout=WRITE, retries=5, idempotent=True, tags=("tasks",))
async def create_task(
    title: str,
    detail: str,
    priority: Priority = Priority.NORMAL,
    assignee: str | None = None,
    about: str | None = None,
    due_at: AwareDatetime | None = None,
) -> Task:
    """Add a task to the assignee's list, or to the shared list if there is no assignee."""
    key = effect_key()
    async with transaction() as db:
        row = await db.fetchrow(
            """
            INSERT INTO backoffice.tasks (title, detail, priority, assignee, about, due_at, idempotency_key)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (idempotency_key) DO NOTHING RETURNING *
            """,
            title,
            detail,
            priority,
            assignee,
            about,
            due_at,
            key,
        )
        if row is None:
            row = await db.fetchrow("SELECT * FROM backoffice.tasks WHERE idempotency_key = $1", key)
    return Task.of(row)


@ag.tool(title="List tasks", risk="read", timeout=READ, retries=5, idempotent=True, tags=("tasks",))
async def list_tasks(
    status: TaskStatus = TaskStatus.OPEN, assignee: str | None = None, limit: Limit = 50
) -> list[Task]:
    """List tasks with one status, newest first, for everybody or for one assignee."""
    async with connection() as db:
        rows = await db.fetch(
            """
            SELECT * FROM backoffice.tasks WHERE status = $1 AND ($2::text IS NULL OR assignee = $2)
            ORDER BY created_at DESC, id LIMIT $3
            """,
            status,
            assignee,
            limit,
        )
    return [Task.of(row) for row in rows]
