"""An API killed between recording a command and learning its outcome."""

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
"""The number of a second API, whose connection to Temporal can be cut."""


class Doomed:
    """An API process whose calls to Temporal can be held back, and which is then killed."""

    def __init__(self, stage: Stage, proxy: Proxy, program: Program) -> None:
        self.stage = stage
        self.proxy = proxy
        self.program = program

    async def send(self, who: str, path: str, body: Any) -> tuple[str, asyncio.Task[httpx.Response | None]]:
        """Send a request. Returns the id of its recorded command, and the request's task, which is still running."""
        key = str(uuid.uuid4())
        headers = {"Idempotency-Key": key}
        request = asyncio.create_task(
            self.stage.request(who, "POST", path, api=DOOMED, json=body, headers=headers), name=key
        )

        async def recorded() -> str | None:
            async with self.stage.database() as database:
                command_id: str | None = await database.fetchval(
                    "SELECT command_id FROM commands WHERE idempotency_key = $1", key
                )
            return command_id

        return await self.stage.until(recorded, "the command is recorded", every=0.02), request

    async def kill(self, *requests: asyncio.Task[httpx.Response | None]) -> None:
        """Kill the API, and check that no request got a response. Data that it had sent but that was held back is lost."""
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
        await stage.healed()  # afterwards it has talked to Temporal
        yield Doomed(stage, proxy, program)
    finally:
        stage.remove(program)
        await proxy.close()


async def open_approval(stage: Stage) -> tuple[str, str, dict[str, Any]]:
    """Start a run that waits for an approval. Returns its id, and path and body of a decision."""
    run_id = await stage.start("run_errand", {"ask": True})
    approval = await stage.approval(run_id)
    path = f"/approvals/{approval['approval_id']}/decisions"
    return run_id, path, {"verdict": "approved", "digest": approval["digest"]}


async def command(stage: Stage, command_id: str) -> dict[str, Any]:
    result: dict[str, Any] = await stage.call("auditor", "GET", f"/commands/{command_id}")
    return result


async def signals(stage: Stage, workflow_id: str) -> int:
    history = await (await stage.client()).get_workflow_handle(workflow_id).fetch_history()
    return sum(event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED for event in history.events)


async def exists(stage: Stage, workflow_id: str) -> bool:
    """Whether Temporal has this workflow."""
    try:
        await (await stage.client()).get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def retry(stage: Stage, request: asyncio.Task[Any], run_id: str) -> None:
    """The client retries with another API, and gets the same run."""
    replayed = await stage.http("operator").post(
        "/api/v1/workflows/run_errand/runs", json={"input": {}}, headers={"Idempotency-Key": request.get_name()}
    )
    assert (replayed.status_code, replayed.json()["run_id"]) == (200, run_id)
    assert replayed.headers["idempotent-replayed"] == "true"


async def test_commands_that_a_killed_api_recorded_but_never_sent_are_sent_by_another_api(
    stage: Stage, doomed: Doomed
) -> None:
    waiting, path, decision = await open_approval(stage)
    doomed.proxy.freeze()
    (start_id, start), (decide_id, decide) = await asyncio.gather(
        doomed.send("operator", "/workflows/run_errand/runs", {"input": {}}), doomed.send("second", path, decision)
    )
    await doomed.kill(start, decide)
    run_id = (await command(stage, start_id))["run_id"]
    assert not await exists(stage, run_id)
    assert await signals(stage, waiting) == 0
    assert (await stage.run(waiting))["approvals_pending"] == 1  # not shown as approved yet

    await retry(stage, start, run_id)
    for key in (run_id, waiting):
        assert (await stage.ended(key))["status"] == "completed"
        assert set(checks.effects(stage, key).values()) == {1}
    await checks.nothing_pending(stage)
    assert [(await command(stage, key))["status"] for key in (start_id, decide_id)] == ["applied"] * 2
    assert await signals(stage, waiting) == 1
    await checks.mirrored(stage, (run_id, waiting))


async def test_commands_that_a_killed_api_sent_without_getting_a_response_happen_once(
    stage: Stage, doomed: Doomed
) -> None:
    waiting, path, decision = await open_approval(stage)
    doomed.proxy.freeze(asking=False)
    (start_id, start), (decide_id, decide) = await asyncio.gather(
        doomed.send("operator", "/workflows/run_errand/runs", {"input": {}}), doomed.send("second", path, decision)
    )
    run_id = (await command(stage, start_id))["run_id"]
    await stage.until(lambda: exists(stage, run_id), "Temporal has accepted the start", every=0.02)
    await stage.until(lambda: signals(stage, waiting), "Temporal has accepted the decision", every=0.02)
    await doomed.kill(start, decide)

    for key in (run_id, waiting):
        assert (await stage.ended(key))["status"] == "completed"
        assert set(checks.effects(stage, key).values()) == {1}
    await retry(stage, start, run_id)
    await checks.nothing_pending(stage)
    assert [(await command(stage, key))["status"] for key in (start_id, decide_id)] == ["applied"] * 2
    assert await signals(stage, waiting) == 1
    await checks.decided_once(stage)
    await checks.mirrored(stage, (run_id, waiting))
