"""Interrupting an agent's turn. Workflow code: the signal handler only records the interruption; the agent's loop acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

MAX_MESSAGES = 20
"""Maximum number of messages kept for one interruption: the newest ones."""


@dataclass(kw_only=True)
class Interruptions:
    """The interruptions of one agent call that its loop has not handled yet."""

    pending: bool = False
    messages: list[str] = field(default_factory=list)
    """Messages for the agent, in order of arrival."""

    def add(self, message: str | None) -> None:
        """Record an interruption."""
        self.pending = True
        if message:
            self.messages = [*self.messages, message][-MAX_MESSAGES:]

    def take(self) -> list[str]:
        """Return the messages, and clear the interruption."""
        messages, self.pending, self.messages = self.messages, False, []
        return messages


async def ended(
    tasks: Sequence[asyncio.Task[Any]], interruptions: Interruptions, *, agents: Sequence[asyncio.Task[Any]] = ()
) -> None:
    """Wait until the tasks have ended. An interruption, or the failure of a task, cancels the others and waits for them too.

    Cancellation of the run cancels them all, and waits only for `agents`, which must close their calls.
    """
    try:
        # The signal handler cancels nothing itself: a call that completes in the same activation would lose its result. The event loop checks
        # this condition only when nothing else is left to do.
        await workflow.wait_condition(
            lambda: interruptions.pending or all(task.done() for task in tasks) or any(_failed(task) for task in tasks)
        )
        if waiting := [task for task in tasks if not task.done()]:
            _cancel(waiting)
            await workflow.wait(waiting)
    except asyncio.CancelledError:
        _cancel(tasks)
        if agents:
            await workflow.wait(agents)
        raise


def was_cancelled(task: asyncio.Task[Any]) -> bool:
    """Whether the task ended because it was cancelled, even if the cancellation went through an activity."""
    error = None if task.cancelled() else task.exception()
    return task.cancelled() or (error is not None and is_cancelled_exception(error))


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        # Nobody may be left to retrieve the exception.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        task.cancel()
