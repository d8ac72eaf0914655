"""An independent check of a run: reads it from Temporal in the simplest way, and compares the result with AgentGrid's.

It shares no code with the projector: it reads whole histories (closed executions forward, open ones in reverse, plus Describe) and looks
things up in them, whereas the projector folds event by event. The exception is `domain.approvals.judge`, the only implementation of judging.

    await oracle.compare(client, run_json, steps_json, approvals_json)

takes the responses of `GET /api/v1/runs/{id}`, `/steps` and `/approvals`, or table rows as plain dicts, and fails with all differences.
An open run changes in the meantime: `eventually` retries until nothing differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import temporalio.api.workflowservice.v1 as service
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from tests.oracle.approvals import read_approvals
from tests.oracle.comparing import compare_approvals, compare_run, compare_steps
from tests.oracle.histories import ENDS, RUNNING, Execution, Json, name_and_attributes, read_chain
from tests.oracle.steps import read_steps

__all__ = ["ENDS", "compare", "differences", "eventually", "step_differences"]

_CLOSES = {"completed", "failed", "canceled", "terminated", "timed_out", "continued_as_new"}


async def compare(
    client: Client, run: Json, steps: Iterable[Json] | None = None, approvals: Iterable[Json] | None = None
) -> None:
    """Fail with all differences between Temporal and these responses."""
    differing = await differences(client, run, steps, approvals)
    assert not differing, f"run {run['run_id']} differs from Temporal:\n" + "\n".join(differing)


async def eventually(
    client: Client,
    probe: Callable[[], Awaitable[tuple[Json, Sequence[Json], Sequence[Json]]]],
    *,
    seconds: float = 15.0,
) -> None:
    """Probe run, steps and approvals until nothing differs; after `seconds`, fail with the remaining differences."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        run, steps, approvals = await probe()
        differing = await differences(client, run, steps, approvals)
        if not differing:
            return
        assert asyncio.get_running_loop().time() < deadline, "\n".join(differing)
        await asyncio.sleep(0.2)


async def differences(
    client: Client, run: Json, steps: Iterable[Json] | None = None, approvals: Iterable[Json] | None = None
) -> list[str]:
    """Describe every difference."""
    chain = await read_chain(client, run)
    for execution in chain:
        read_steps(execution)
        read_approvals(execution)
    differing = compare_run(run, chain)
    if steps is not None:
        differing += compare_steps(list(steps), chain)
    if approvals is not None:
        differing += compare_approvals(list(approvals), chain)
    return differing


def step_differences(execution_id: str, events: Sequence[HistoryEvent], steps: Iterable[Json]) -> list[str]:
    """Describe every difference between these steps and a history up to some event. It counts as open unless the last event closes it."""
    name, _ = name_and_attributes(events[-1])
    described = service.DescribeWorkflowExecutionResponse()
    closed = name.startswith("workflow_execution_") and name.removeprefix("workflow_execution_") in _CLOSES
    described.workflow_execution_info.status = (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED if closed else RUNNING
    )
    execution = Execution(execution_id=execution_id, events=list(events), described=described)
    read_steps(execution)
    return compare_steps([{**step, "execution_id": execution_id} for step in steps], [execution])
