"""An update's command is settled from history: by its handler's result, its failure, or the end of its execution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.sdk.grid import Grid
from tests.api import talking
from tests.e2e.conftest import Loop


@pytest.fixture
async def talking_run(loop: Loop) -> AsyncIterator[str]:
    """An open run served by a governed worker."""
    async with loop.worker("talking", Grid("talking", talking)):
        async with asyncio.timeout(30):
            while "talks" not in str(await loop.call("operator", "GET", "/workflows?limit=200")):
                await asyncio.sleep(0.05)
        run_id = await loop.start("talks", None)
        await loop.until(run_id, "running", "waiting")
        yield run_id
        await loop.call("operator", "POST", f"/runs/{run_id}/signal", 202, json={"name": "end"})
        await loop.until(run_id)


async def update(loop: Loop, run_id: str, name: str, *arguments: Any, expect: int = 200, wait: float = 10) -> Any:
    body = {"arguments": list(arguments)}
    return await loop.call(
        "operator", "POST", f"/runs/{run_id}/updates/{name}", expect, json=body, params={"wait": wait}
    )


async def settled(loop: Loop, update: dict[str, Any], *statuses: str) -> dict[str, Any]:
    """Wait until the update's command has one of these statuses, and return the command."""
    command: dict[str, Any] = {}
    try:
        async with asyncio.timeout(60):
            while (command := await loop.call("auditor", "GET", f"/commands/{update['command_id']}"))["status"] not in (
                statuses
            ):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the command never became {statuses}: {command}") from None
    return command


async def test_the_fold_settles_each_update_by_its_outcome_and_a_rebuild_agrees(loop: Loop, talking_run: str) -> None:
    added = await update(loop, talking_run, "add", 2)
    assert (added["stage"], added["result"]["value"]) == ("completed", 2)
    applied = await settled(loop, added, "applied")
    assert (applied["kind"], applied["what"]) == ("run.update", "add")
    broken = await update(loop, talking_run, "fail")
    assert broken["stage"] == "failed"
    failed = await settled(loop, broken, "failed")
    assert failed["outcome"]["code"] == "update_failed"

    steps = (await loop.call("operator", "GET", f"/runs/{talking_run}/steps?kind=update"))["items"]
    assert [(step["name"], step["status"]) for step in steps] == [("add", "completed"), ("fail", "failed")]
    assert [step["event_id"] for step in steps] == [applied["outcome"]["event_id"], failed["outcome"]["event_id"]]
    await rebuild_projection(loop.settings, run_ids=[talking_run])
    assert (await settled(loop, added, "applied"))["outcome"] == applied["outcome"]
    assert (await loop.call("auditor", "GET", f"/runs/{talking_run}/updates/{broken['command_id']}"))[
        "stage"
    ] == "failed"


async def test_another_runs_update_under_a_commands_id_settles_nothing_and_an_abandoned_one_is_superseded(
    loop: Loop, talking_run: str
) -> None:
    slow = await update(loop, talking_run, "add_slowly", 5, expect=202, wait=0)
    assert (slow["stage"], slow["command_status"]) == ("accepted", "delivered")
    other = await loop.start("talks", None)
    handle = loop.client.get_workflow_handle(other)
    assert await handle.execute_update("add", 1, id=slow["command_id"]) == 1
    async with asyncio.timeout(60):
        while not (await loop.call("operator", "GET", f"/runs/{other}/steps?kind=update&status=completed"))["items"]:
            await asyncio.sleep(0.05)
    assert (await loop.call("auditor", "GET", f"/commands/{slow['command_id']}"))["status"] == "delivered"
    await loop.call("operator", "POST", f"/runs/{talking_run}/signal", 202, json={"name": "renew"})
    assert (await settled(loop, slow, "superseded"))["outcome"]["event_id"]
    abandoned = await loop.call("operator", "GET", f"/runs/{talking_run}/updates/{slow['command_id']}")
    assert abandoned["stage"] == "abandoned"

    ending = await update(loop, other, "add_slowly", 5, expect=202, wait=0)
    await loop.call("operator", "POST", f"/runs/{other}/terminate", 202, json={})
    await loop.until(other)
    assert (await settled(loop, ending, "superseded"))["outcome"] == {"form": "ended", "run_status": "terminated"}


async def test_a_kill_switch_denies_the_calls_of_an_updates_handler(loop: Loop, talking_run: str) -> None:
    paid = await update(loop, talking_run, "pay", 1)
    assert (paid["stage"], paid["result"]["value"]) == ("completed", "paid 1")
    await loop.call("admin", "POST", "/workflows/talks/disable", json={})
    try:
        async with asyncio.timeout(60):
            # The kill switch takes effect within seconds.
            while (denied := await update(loop, talking_run, "pay", 1))["stage"] == "completed":
                await asyncio.sleep(0.1)
        assert denied["stage"] == "failed"
        assert "PolicyDenied" in str(denied["error"])
        query = await loop.call("operator", "POST", f"/runs/{talking_run}/queries/total", json={})
        assert query["result"]["value"] == 0, "queries still work"
    finally:
        await loop.call("admin", "POST", "/workflows/talks/enable", json={})
