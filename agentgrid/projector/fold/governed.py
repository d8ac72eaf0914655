"""Whether an execution began under the plugin: from its history alone, as a governed worker tells it when it replays.

That is the word of the worker that completed the first workflow task: a build of the plugin's own, or the plugin's marker. Any worker can say
so. What shows that one lied is believed before it: its calls lack the plugin's headers.
"""

from __future__ import annotations

from agentgrid.projector import events
from agentgrid.projector.events import Event
from agentgrid.projector.fold.passing import Pass
from agentgrid.protocol import PATCH_GATE

_OF_TASKS = (events.TaskScheduled, events.TaskStarted, events.TaskCompleted, events.TaskFailed)


def task_completed(fold: Pass, event: events.TaskCompleted) -> None:
    """The first task's word counts; of tasks that follow at once upon empty ones, the last one's, for the SDK replays them as one."""
    state = fold.state
    state.claimed = event.claims
    if not state.begun:
        state.claims.append(event.claims)
        state.governed = event.claims


def follows(fold: Pass, event: Event) -> None:
    """Whatever else comes after a completed task ends the first one. The SDK replays an update with the task before the one that took it."""
    state = fold.state
    if state.begun or not state.claims or isinstance(event, _OF_TASKS):
        return
    if isinstance(event, events.UpdateAccepted) and len(state.claims) > 1:
        state.governed = state.claims[-2]
    state.begun, state.claims = True, []


def patched(fold: Pass, event: events.Patched) -> None:
    """A worker that its build doesn't tell marks what begins there."""
    if event.patch == PATCH_GATE:
        fold.state.governed = True


def called(fold: Pass, *, headed: bool) -> None:
    """A worker under a build of the plugin's own asks for an activity or a child: without the plugin's header it has no plugin."""
    if fold.state.claimed and not headed:
        fold.state.governed = False
