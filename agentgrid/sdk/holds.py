"""A run that pauses by itself, until a person resumes it."""

from __future__ import annotations

from agentgrid.domain.agents import INTERRUPTED, Hold
from agentgrid.protocol import ACTIVITY_HOLD
from agentgrid.sdk.recorded import recorded
from agentgrid.sdk.state import current_state


async def hold(why: Hold) -> None:
    """Pause the run, with the reason on record, and return when it is resumed.

    A run that was resumed since its agents were interrupted goes on: what they did then may have ended only now.
    """
    state = current_state()
    assert state is not None
    await recorded(ACTIVITY_HOLD, why, Hold, why.reason)
    if why.reason != INTERRUPTED or not state.resumed_since:
        state.ask("pause")
    await state.resumed()
