"""A run that pauses by itself, until a person resumes it."""

from __future__ import annotations

from agentgrid.domain.agents import Hold
from agentgrid.protocol import ACTIVITY_HOLD
from agentgrid.sdk.recorded import recorded
from agentgrid.sdk.state import current_state


async def hold(why: Hold) -> None:
    """Pause the run, with the reason on record, and return when it is resumed."""
    state = current_state()
    assert state is not None
    await recorded(ACTIVITY_HOLD, why, Hold, why.reason)
    state.asked = "pause"
    await state.resumed()
