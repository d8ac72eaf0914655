"""AgentGrid's own local activities: the worker answers once, and replays read the answer from history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from agentgrid.sdk.state import Patience, WorkflowState

_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=10), maximum_attempts=10
)


async def recorded_with_policy(
    state: WorkflowState, name: str, argument: Any, result_type: type[Any], title: str
) -> Any:
    """The result of a local activity that needs the worker's policy. Waits for resume, and retries while the policy is stale."""
    patience = Patience()
    while True:
        await state.resumed()
        try:
            return await recorded(name, argument, result_type, title)
        except ApplicationError as error:
            if not await patience.waited(error):
                raise


async def recorded(name: str, argument: Any, result_type: type[Any], title: str) -> Any:
    """The result of a local activity, even while the run is paused."""
    return await workflow.execute_local_activity(
        name,
        argument,
        result_type=result_type,
        start_to_close_timeout=timedelta(seconds=10),
        retry_policy=_RETRIES,
        summary=title,
    )
