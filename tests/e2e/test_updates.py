"""An update's command ends as history says: by its handler's answer, its failure, or the end of the execution that had it."""

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
    """An open run that a governed worker serves."""
    async with loop.worker("talking", Grid("talking", talking)):
        async with asyncio.timeout(30):
            while "talks" not in str(await loop.call("operator", "GET", "/workflows?limit=200")):
                await asyncio.sleep(0.05)
        run_id = await loop.start("talks", None)
        await loop.until(run_id, "running", "waiting")
        yield run_id
        await loop.call("operator", "POST", f"/runs/{run_id}/signal", 202, json={"name": "end"})
        await loop.until(run_id)


async def change(loop: Loop, run_id: str, name: str, *arguments: Any, expect: int = 200, wait: float = 10) -> Any:
    body = {"arguments": list(arguments)}
    return await loop.call(
        "operator", "POST", f"/runs/{run_id}/updates/{name}", expect, json=body, params={"wait": wait}
    )


async def settled(loop: Loop, known: dict[str, Any], *statuses: str) -> dict[str, Any]:
    command: dict[str, Any] = {}
    try:
        async with asyncio.timeout(60):
            while (command := await loop.call("auditor", "GET", f"/commands/{known['command_id']}"))["status"] not in (
                statuses
            ):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never {statuses}: {command}") from None
    return command


async def test_the_fold_settles_each_update_by_its_outcome_and_a_rebuild_agrees(loop: Loop, talking_run: str) -> None:
    added = await change(loop, talking_run, "add", 2)
    assert (added["stage"], added["result"]["value"]) == ("completed", 2)
    applied = await settled(loop, added, "applied")
    assert (applied["kind"], applied["what"]) == ("run.update", "add")
    broken = await change(loop, talking_run, "fail")
    assert broken["stage"] == "failed"
    failed = await settled(loop, broken, "failed")
    assert failed["outcome"]["code"] == "update_failed"

    steps = (await loop.call("operator", "GET", f"/runs/{talking_run}/steps?kind=update"))["items"]
    assert [(each["name"], each["status"]) for each in steps] == [("add", "completed"), ("fail", "failed")]
    assert [each["event_id"] for each in steps] == [applied["outcome"]["event_id"], failed["outcome"]["event_id"]]
    await rebuild_projection(loop.settings, run_ids=[talking_run])
    assert (await settled(loop, added, "applied"))["outcome"] == applied["outcome"]
    assert (await loop.call("auditor", "GET", f"/runs/{talking_run}/updates/{broken['command_id']}"))[
        "stage"
    ] == "failed"


async def test_a_foreign_update_under_a_commands_id_settles_nothing_and_one_left_behind_is_superseded(
    loop: Loop, talking_run: str
) -> None:
    slow = await change(loop, talking_run, "add_slowly", 5, expect=202, wait=0)
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
    known = await loop.call("operator", "GET", f"/runs/{talking_run}/updates/{slow['command_id']}")
    assert known["stage"] == "abandoned"

    ending = await change(loop, other, "add_slowly", 5, expect=202, wait=0)
    await loop.call("operator", "POST", f"/runs/{other}/terminate", 202, json={})
    await loop.until(other)
    assert (await settled(loop, ending, "superseded"))["outcome"] == {"form": "ended", "run_status": "terminated"}


async def test_a_kill_switch_denies_the_calls_that_an_update_sets_off(loop: Loop, talking_run: str) -> None:
    paid = await change(loop, talking_run, "pay", 1)
    assert (paid["stage"], paid["result"]["value"]) == ("completed", "paid 1")
    await loop.call("admin", "POST", "/workflows/talks/disable", json={})
    try:
        async with asyncio.timeout(60):
            # In force within seconds.
            while (denied := await change(loop, talking_run, "pay", 1))["stage"] == "completed":
                await asyncio.sleep(0.1)
        assert denied["stage"] == "failed"
        assert "PolicyDenied" in str(denied["error"])
        asked = await loop.call("operator", "POST", f"/runs/{talking_run}/queries/total", json={})
        assert asked["result"]["value"] == 0, "reading goes on"
    finally:
        await loop.call("admin", "POST", "/workflows/talks/enable", json={})
