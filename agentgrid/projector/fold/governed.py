"""Whether an execution began under the plugin: determined from history alone, by the same rule as in a governed worker's replay.

The worker that completed the first workflow task claims it, by a build with the plugin's prefix or by the plugin's marker. Any worker can make
this claim. A call without the plugin's header refutes it.
"""

from __future__ import annotations

from agentgrid.projector import history_events
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.history_events import DecodedEvent
from agentgrid.protocol import PATCH_GATE

_OF_TASKS = (
    history_events.TaskScheduled,
    history_events.TaskStarted,
    history_events.TaskCompleted,
    history_events.TaskFailed,
)


def task_completed(fold: Pass, event: history_events.TaskCompleted) -> None:
    """The first task's claim counts. If tasks follow empty ones directly, the last one's counts, because the SDK replays them as one."""
    state = fold.state
    state.claimed = event.claims
    if not state.begun:
        state.claims.append(event.claims)
        state.governed = event.claims


def follows(fold: Pass, event: DecodedEvent) -> None:
    """Any other event after a completed task settles the claim. The SDK replays an update with the task before the one that accepted it."""
    state = fold.state
    if state.begun or not state.claims or isinstance(event, _OF_TASKS):
        return
    if isinstance(event, history_events.UpdateAccepted) and len(state.claims) > 1:
        state.governed = state.claims[-2]
    state.begun, state.claims = True, []


def patched(fold: Pass, event: history_events.Patched) -> None:
    """A governed worker without a build of the plugin's writes the marker."""
    if event.patch == PATCH_GATE:
        fold.state.governed = True


def called(fold: Pass, *, headed: bool) -> None:
    """A worker with a build of the plugin's schedules an activity or a child: if the plugin's header is missing, the claim was false."""
    if fold.state.claimed and not headed:
        fold.state.governed = False
