"""Holds: a run pauses itself until a person resumes it."""

from __future__ import annotations

from agentgrid.domain.agents import INTERRUPTED, Hold
from agentgrid.protocol import ACTIVITY_HOLD
from agentgrid.sdk.recorded import recorded
from agentgrid.sdk.state import current_state


async def hold(why: Hold) -> None:
    """Pause the run, record the reason, and return when it is resumed.

    If the run has been resumed since its agents were interrupted, it is not paused again: work from that time may only have ended now.
    """
    state = current_state()
    assert state is not None
    await recorded(ACTIVITY_HOLD, why, Hold, why.reason)
    if why.reason != INTERRUPTED or not state.resumed_since:
        state.apply("pause")
    await state.resumed()
