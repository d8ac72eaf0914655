"""Whether an execution began under the plugin. Determined from history alone, by the same rule as when a governed worker replays it.

The worker that completes the first workflow task claims it, by a build id with the plugin's prefix or by the plugin's marker. Any worker can
make this claim. A call without the plugin's header refutes it.
"""

from __future__ import annotations

from agentgrid.projector import history_events
from agentgrid.projector.fold.passing import Pass
from agentgrid.projector.history_events import DecodedEvent
from agentgrid.protocol import PATCH_GATE

_TASK_EVENTS = (
    history_events.TaskScheduled,
    history_events.TaskStarted,
    history_events.TaskCompleted,
    history_events.TaskFailed,
)


def task_completed(fold: Pass, event: history_events.TaskCompleted) -> None:
    """The first task's claim counts. If further tasks follow without other events between, the last one's counts, because the SDK replays them as one."""
    state = fold.state
    state.claimed = event.claims
    if not state.begun:
        state.claims.append(event.claims)
        state.governed = event.claims


def settle_claim(fold: Pass, event: DecodedEvent) -> None:
    """Settle the claim at the first other event after a completed task. The SDK replays an update with the task before the one that accepted it."""
    state = fold.state
    if state.begun or not state.claims or isinstance(event, _TASK_EVENTS):
        return
    if isinstance(event, history_events.UpdateAccepted) and len(state.claims) > 1:
        state.governed = state.claims[-2]
    state.begun, state.claims = True, []


def patched(fold: Pass, event: history_events.Patched) -> None:
    """The marker of a governed worker whose build id doesn't have the plugin's prefix."""
    if event.patch == PATCH_GATE:
        fold.state.governed = True


def called(fold: Pass, *, headed: bool) -> None:
    """An activity or a child was scheduled. If the build claims the plugin but the plugin's header is missing, the claim was false."""
    if fold.state.claimed and not headed:
        fold.state.governed = False
