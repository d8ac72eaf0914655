"""Interrupting an agent's turn. Workflow code: the signal's handler only notes the interruption, and the agent's loop acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

MAX_MESSAGES = 20
"""Messages that one interruption takes; of more, the newest."""


@dataclass(kw_only=True)
class Interruptions:
    """The interruptions of one call of an agent that its loop has not acted on yet."""

    asked: bool = False
    messages: list[str] = field(default_factory=list)
    """For the agent, in the order in which they came."""

    def ask(self, message: str | None) -> None:
        """Note an interruption."""
        self.asked = True
        if message:
            self.messages = [*self.messages, message][-MAX_MESSAGES:]

    def take(self) -> list[str]:
        """The messages. Until the next interruption, nothing is asked."""
        taken, self.asked, self.messages = self.messages, False, []
        return taken


async def ended(
    tasks: Sequence[asyncio.Task[Any]], interruptions: Interruptions, *, agents: Sequence[asyncio.Task[Any]] = ()
) -> None:
    """Wait for the tasks. An interruption, or the failure of one, cancels the others, and waits for them too.

    The run's own cancellation reaches them all, and waits only for `agents`, which must close their calls.
    """
    try:
        # The signal's handler cancels nothing itself: a call that is completed in the same activation would lose its result. The event loop
        # checks this condition when nothing else is left to do.
        await workflow.wait_condition(
            lambda: interruptions.asked or all(task.done() for task in tasks) or any(_failed(task) for task in tasks)
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
    """Whether the task ended by its cancellation, also if that reached an activity."""
    error = None if task.cancelled() else task.exception()
    return task.cancelled() or (error is not None and is_cancelled_exception(error))


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        # Nobody may be left to ask for its outcome.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
