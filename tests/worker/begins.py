"""A plain workflow that begins on one worker and continues on another."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import activity, workflow

SOON = timedelta(seconds=20)


@activity.defn
async def free() -> str:
    return "free"


@activity.defn
async def asked() -> str:
    """The activity for which the tests' rule requires approval."""
    return "asked"


@workflow.defn(name="Begins")
class Begins:
    """Its first task depends on `shape`; then it waits for a signal or an update."""

    def __init__(self) -> None:
        self.gone = False

    @workflow.run
    async def run(self, shape: str) -> str:
        done = []
        if shape == "calls":
            done.append(await workflow.execute_activity(free, start_to_close_timeout=SOON))
        await workflow.wait_condition(lambda: self.gone)
        if shape == "continues":
            workflow.continue_as_new("calls")
        if shape == "child":
            name = f"{workflow.info().workflow_id}-child"
            done.append(await workflow.execute_child_workflow(Begins.run, "calls", id=name))
        else:
            done.append(await workflow.execute_activity(asked, start_to_close_timeout=SOON))
        return " ".join(done)

    @workflow.signal
    def go(self) -> None:
        self.gone = True

    @workflow.signal
    async def early(self) -> None:
        await workflow.execute_activity(free, start_to_close_timeout=SOON)

    @workflow.update
    async def nudge(self, name: str) -> str:
        return await workflow.execute_activity(name, start_to_close_timeout=SOON, result_type=str)


@workflow.defn(name="Begins", sandboxed=False)
class Broken:
    """A workflow whose tasks all fail."""

    @workflow.run
    async def run(self, shape: str) -> str:
        raise RuntimeError("every task fails")

    @workflow.signal
    def go(self) -> None: ...


CONFIG: dict[str, Any] = {"activities": [free, asked], "max_cached_workflows": 0}
"""For a worker that caches no workflows between tasks."""
