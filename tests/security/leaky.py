"""Workflows that leak their input everywhere they can: results, errors, logs, signals, heartbeats."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

import agentgrid as ag


@ag.tool(title="Pass on", risk="read", timeout=timedelta(seconds=5), retries=1)
async def pass_on(secret: str) -> str:
    activity.heartbeat(f"{secret}-heartbeat")
    ag.log.info(f"{secret}-logged", field=f"{secret}-field")
    return f"{secret}-output"


@ag.tool(title="Complain", risk="read", timeout=timedelta(seconds=5), retries=1)
async def complain(secret: str) -> str:
    raise ag.ToolError(f"{secret}-toolerror")


@ag.tool(title="Try forever", risk="read", timeout=timedelta(seconds=5), retries=100)
async def try_forever(secret: str) -> str:
    raise RuntimeError(f"{secret}-attempt")


@ag.tool(
    title="Tell the world", risk="destructive", timeout=timedelta(seconds=5), retries=1, asks="Tell the world {secret}"
)
async def tell_the_world(secret: str) -> str:
    return secret


@ag.workflow(title="Leaks and fails")
class LeaksAndFails:
    def __init__(self) -> None:
        self._signalled = ""

    @workflow.signal
    def tell(self, words: str) -> None:
        self._signalled = words

    @workflow.update
    async def confide(self, secret: str) -> str:
        raise ApplicationError(f"{secret}-failed", f"{secret}-detail", type=f"{secret}-type")

    @workflow.run
    async def run(self, secret: str) -> str:
        workflow.logger.warning("%s-workflowlog", secret)
        await pass_on(f"{secret}-arguments")
        await workflow.wait_condition(lambda: bool(self._signalled))
        await ag.approval(f"Go on {secret}-title", show={"value": f"{secret}-shown"}, approvers=["reviewer"])
        try:
            await complain(secret)
        except Exception as error:
            raise ApplicationError(
                f"{secret}-failure", f"{secret}-detail", type=f"{secret}-type", non_retryable=True
            ) from error
        return ""


@ag.workflow(title="Leaks and returns")
class LeaksAndReturns:
    @workflow.run
    async def run(self, secret: str) -> str:
        return f"{secret}-result"


@ag.workflow(title="Leaks while it tries")
class LeaksWhileItTries:
    @workflow.run
    async def run(self, secret: str) -> str:
        return await try_forever(secret)


class About(BaseModel):
    secret: str
    whom: str


@ag.workflow(title="Leaks while it asks", subject="About {whom}")
class LeaksWhileItAsks:
    @workflow.run
    async def run(self, about: About) -> str:
        return await tell_the_world(f"{about.secret}-asks")


@ag.workflow(title="Leaks and is stuck")
class LeaksAndIsStuck:
    @workflow.run
    async def run(self, secret: str) -> str:
        # Fails the workflow task, not the run; Temporal keeps retrying the task.
        raise RuntimeError(f"{secret}-task")
