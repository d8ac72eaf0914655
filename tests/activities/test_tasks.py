"""The task list's tools against a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

import agentgrid as ag
from activities.tasks import Priority, TaskStatus, create_task, list_tasks
from tests.activities.conftest import OneCall


@pytest.mark.usefixtures("backoffice")
async def test_a_task_is_created_open_and_listed_first() -> None:
    due = datetime(2026, 3, 9, 12, tzinfo=UTC)
    task = await create_task("Call back", "They asked twice.", Priority.HIGH, "hana.sato", "T-1001", due)
    assert (task.status, task.priority, task.due_at, task.about) == (TaskStatus.OPEN, Priority.HIGH, due, "T-1001")
    assert (await list_tasks())[0] == task


async def test_tasks_are_listed_by_status_and_assignee() -> None:
    assert {task.id for task in await list_tasks(TaskStatus.DONE)} == {"TASK-15", "TASK-16", "TASK-18"}
    mine = await list_tasks(TaskStatus.OPEN, "platform-team")
    assert {task.id for task in mine} == {"TASK-5", "TASK-9"}
    assert len(await list_tasks(limit=3)) == 3


async def test_a_repeated_attempt_creates_one_task(one_call: OneCall) -> None:
    with one_call("task-1"):
        tasks = await asyncio.gather(*(create_task("Once", "Only once.") for _ in range(8)))
    assert len({task.id for task in tasks}) == 1
    assert [task.title for task in await list_tasks(limit=200)].count("Once") == 1


async def test_two_calls_create_two_tasks(one_call: OneCall) -> None:
    ids = []
    for key in ("task-1", "task-2"):
        with one_call(key):
            ids.append((await create_task("Twice", "Two calls.")).id)
    assert ids[0] != ids[1]


@pytest.mark.usefixtures("backoffice")
async def test_a_task_without_a_title_is_a_non_retryable_error() -> None:
    with pytest.raises(ag.ToolError, match="tasks_title_not_blank") as caught:
        await create_task("  ", "What?")
    assert not caught.value.retryable
