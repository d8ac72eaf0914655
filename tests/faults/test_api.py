"""An API that is killed between writing a command down and knowing what became of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError, RPCStatusCode

from tests.api.conftest import Proxy
from tests.faults import checks
from tests.faults.processes import Program
from tests.faults.stage import Stage

DOOMED = 1
"""The API beside the first one, with a way to Temporal that can be cut."""


class Doomed:
    """An API process whose calls of Temporal can be held back, and who is killed then."""

    def __init__(self, stage: Stage, proxy: Proxy, program: Program) -> None:
        self.stage = stage
        self.proxy = proxy
        self.program = program

    async def asked(self, who: str, path: str, body: Any) -> tuple[str, asyncio.Task[httpx.Response | None]]:
        """The id of the command that this request has just written down, and the request, which goes on."""
        key = str(uuid.uuid4())
        headers = {"Idempotency-Key": key}
        request = asyncio.create_task(
            self.stage.ask(who, "POST", path, api=DOOMED, json=body, headers=headers), name=key
        )

        async def written() -> str | None:
            async with self.stage.database() as database:
                found: str | None = await database.fetchval(
                    "SELECT command_id FROM commands WHERE idempotency_key = $1", key
                )
            return found

        return await self.stage.until(written, "the command is written down", every=0.02), request

    async def died(self, *requests: asyncio.Task[httpx.Response | None]) -> None:
        """Kill it, and see that nobody was answered; what it had sent and not yet got through is lost with it."""
        assert not any(request.done() for request in requests)
        await self.program.kill()
        await self.proxy.close()
        assert [await request for request in requests] == [None] * len(requests)


@pytest.fixture
async def doomed(stage: Stage) -> AsyncIterator[Doomed]:
    proxy = Proxy(stage.temporal.address)
    await proxy.open()
    program = stage.add("api", DOOMED, AGENTGRID_TEMPORAL_ADDRESS=proxy.address)
    try:
        await stage.healed()  # it has talked to Temporal then
        yield Doomed(stage, proxy, program)
    finally:
        stage.remove(program)
        await proxy.close()


async def asks(stage: Stage) -> tuple[str, str, dict[str, Any]]:
    """A run that waits for an approval, the path of its decision, and a decision's body."""
    run_id = await stage.start("run_errand", {"ask": True})
    approval = await stage.approval(run_id)
    path = f"/approvals/{approval['approval_id']}/decisions"
    return run_id, path, {"verdict": "approved", "digest": approval["digest"]}


async def command(stage: Stage, command_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await stage.call("auditor", "GET", f"/commands/{command_id}")
    return found


async def signals(stage: Stage, workflow_id: str) -> int:
    history = await (await stage.client()).get_workflow_handle(workflow_id).fetch_history()
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED for event in history.events)


async def known(stage: Stage, workflow_id: str) -> bool:
    """Whether Temporal has such a workflow."""
    try:
        await (await stage.client()).get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def repeated(stage: Stage, request: asyncio.Task[Any], run_id: str) -> None:
    """The client says it again, to another API, and gets the same run."""
    again = await stage.http("operator").post(
        "/api/v1/workflows/run_errand/runs", json={"input": {}}, headers={"Idempotency-Key": request.get_name()}
    )
    assert (again.status_code, again.json()["run_id"]) == (200, run_id)
    assert again.headers["idempotent-replayed"] == "true"


async def test_what_a_killed_api_wrote_down_and_never_sent_is_sent_by_another_one(stage: Stage, doomed: Doomed) -> None:
    asking, path, decision = await asks(stage)
    doomed.proxy.freeze()
    (start_id, start), (decide_id, decide) = await asyncio.gather(
        doomed.asked("operator", "/workflows/run_errand/runs", {"input": {}}), doomed.asked("second", path, decision)
    )
    await doomed.died(start, decide)
    run_id = (await command(stage, start_id))["run_id"]
    assert not await known(stage, run_id)
    assert await signals(stage, asking) == 0
    assert (await stage.run(asking))["approvals_pending"] == 1  # not "approved" before it is

    await repeated(stage, start, run_id)
    for each in (run_id, asking):
        assert (await stage.ended(each))["status"] == "completed"
        assert set(checks.effects(stage, each).values()) == {1}
    await checks.nothing_pending(stage)
    assert [(await command(stage, each))["status"] for each in (start_id, decide_id)] == ["applied"] * 2
    assert await signals(stage, asking) == 1
    await checks.mirrored(stage, (run_id, asking))


async def test_what_a_killed_api_sent_and_never_heard_of_again_happens_once(stage: Stage, doomed: Doomed) -> None:
    asking, path, decision = await asks(stage)
    doomed.proxy.freeze(asking=False)
    (start_id, start), (decide_id, decide) = await asyncio.gather(
        doomed.asked("operator", "/workflows/run_errand/runs", {"input": {}}), doomed.asked("second", path, decision)
    )
    run_id = (await command(stage, start_id))["run_id"]
    await stage.until(lambda: known(stage, run_id), "Temporal has taken the start", every=0.02)
    await stage.until(lambda: signals(stage, asking), "Temporal has taken the decision", every=0.02)
    await doomed.died(start, decide)

    for each in (run_id, asking):
        assert (await stage.ended(each))["status"] == "completed"
        assert set(checks.effects(stage, each).values()) == {1}
    await repeated(stage, start, run_id)
    await checks.nothing_pending(stage)
    assert [(await command(stage, each))["status"] for each in (start_id, decide_id)] == ["applied"] * 2
    assert await signals(stage, asking) == 1
    await checks.decided_once(stage)
    await checks.mirrored(stage, (run_id, asking))
