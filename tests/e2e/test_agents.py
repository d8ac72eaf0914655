"""An agent's run through the whole loop: each model turn and each call is a step, priced, under policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.worker import Replayer

from agentgrid.sdk.grid import Grid
from agentgrid.worker.plugin import AgentGridPlugin
from tests import oracle
from tests.agents import desk
from tests.e2e.conftest import Loop


@pytest.fixture(scope="module")
async def agents(loop: Loop) -> AsyncIterator[Loop]:
    async with loop.worker("desk", Grid("desk", desk)):
        async with asyncio.timeout(30):
            while len((await loop.call("operator", "GET", "/workflows?q=help_desk"))["items"]) < 1:
                await asyncio.sleep(0.05)
        yield loop


async def steps_of(loop: Loop, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await loop.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
    return found


async def test_an_agent_looks_up_asks_to_refund_and_answers(agents: Loop):
    run_id = await agents.start("help_desk", "Please refund order_id: A-17")
    approval = await agents.approval(run_id)
    assert (approval["tool"], approval["title"]) == ("refund_order", "Refund an order")
    await agents.decide(approval)

    run = await agents.until(run_id)
    steps = await steps_of(agents, run_id)

    assert run["status"] == "completed"
    assert [(step["kind"], step["name"], step["turn"], step["status"]) for step in steps] == [
        ("agent", "desk", None, "completed"),
        ("model", "desk", 1, "completed"),
        ("tool", "get_order", 1, "completed"),
        ("model", "desk", 2, "completed"),
        ("tool", "refund_order", 2, "completed"),
        ("model", "desk", 3, "completed"),
    ]
    assert {step["parent"] for step in steps[1:]} == {steps[0]["event_id"]}
    assert [(item["order_id"], item["cents"]) for item in desk.REFUNDS if item["order_id"] == "A-17"] == [
        ("A-17", 1250)
    ]
    assert steps[1]["usage"]["model"] == "offline model"
    assert run["usage"]["requests"] == 3
    assert steps[0]["usage"]["output_tokens"] == run["usage"]["output_tokens"] > 0
    result = (await agents.call("operator", "GET", f"/runs/{run_id}/result"))["result"]
    assert result["value"]["order_id"] == "A-17"


async def test_an_agent_that_calls_another_is_above_it(agents: Loop):
    run_id = await agents.start("delegation", "prompt: order_id=B-2")
    await agents.until(run_id)
    steps = await steps_of(agents, run_id)
    by_id = {step["event_id"]: step["name"] for step in steps}
    assert [(step["kind"], step["name"], by_id.get(step["parent"])) for step in steps] == [
        ("agent", "lead", None),
        ("model", "lead", "lead"),
        ("agent", "chatty", "lead"),
        ("model", "chatty", "chatty"),
        ("tool", "get_order", "chatty"),
        ("model", "chatty", "chatty"),
        ("model", "lead", "lead"),
    ]


@pytest.fixture(autouse=True)
async def mirrored(loop: Loop) -> AsyncIterator[None]:
    """After each test an oracle that shares no code with the projector reads Temporal itself, and compares every run with the API's answer."""
    loop.runs.clear()
    yield
    for run_id in list(loop.runs):

        async def ask(run_id: str = run_id) -> tuple[Any, Any, Any]:
            approvals = (await loop.call("operator", "GET", f"/runs/{run_id}/approvals"))["items"]
            return await loop.run(run_id), await steps_of(loop, run_id), approvals

        await oracle.eventually(loop.client, ask)


async def used_version(loop: Loop, run_id: str) -> str:
    """The version of the run's agent, once its call has opened."""
    async with asyncio.timeout(20):
        while not (found := [step for step in await steps_of(loop, run_id) if step["kind"] == "agent"]):
            await asyncio.sleep(0.05)
    return str(found[0]["version"])


async def test_an_edit_reaches_new_calls_within_five_seconds_and_open_ones_keep_their_version(agents: Loop):
    code = (await agents.call("viewer", "GET", "/agents/desk"))["version"]
    opened = await agents.start("help_desk", "Please refund order_id: C-1")
    approval = await agents.approval(opened)
    edit = {"tools": ["get_order"], "note": "no refunds today", "expected_version": code}
    made = await agents.call("operator", "PUT", "/agents/desk", json=edit)
    assert (made["version"], made["source"]) == ("edit-1", "operator")

    async with asyncio.timeout(5):
        while (
            version := await used_version(agents, later := await agents.start("help_desk", "order_id: C-2"))
        ) != "edit-1":
            assert version == code
    await agents.decide(approval)

    assert {(await agents.until(run_id))["status"] for run_id in (opened, later)} == {"completed"}
    by_run = {run_id: await steps_of(agents, run_id) for run_id in (opened, later)}
    assert [step["name"] for step in by_run[opened] if step["kind"] == "tool"] == ["get_order", "refund_order"]
    assert [step["name"] for step in by_run[later] if step["kind"] == "tool"] == ["get_order"]
    for run_id, version in ((opened, code), (later, "edit-1")):
        assert {step["version"] for step in by_run[run_id] if step["kind"] in ("agent", "model")} == {version}
    # The histories fit the code, whatever the version is by now.
    replayer = Replayer(workflows=[], plugins=[AgentGridPlugin(Grid("desk", desk), settings=agents.worker_settings)])
    for run_id in (opened, later):
        await replayer.replay_workflow(await agents.client.get_workflow_handle(run_id).fetch_history())
    # Sums: each run's, and the agent's over both.
    usage = (await agents.call("viewer", "GET", "/agents/desk/usage"))["total"]
    ran = (await agents.call("viewer", "GET", "/runs?agent=desk"))["items"]
    assert usage["requests"] == sum(run["usage"]["requests"] for run in ran) >= 5
    shown = await agents.call("viewer", "GET", "/agents/desk")
    assert shown["stats"]["calls"]["completed"] == len(ran)
    tools = {tool["name"]: (tool["risk"], tool["allowed"], tool["effect"]) for tool in shown["tools"]}
    assert tools == {
        "get_order": ("read", True, "allow"),
        "refund_order": ("destructive", False, "require_approval"),
    }

    await agents.call("operator", "POST", "/agents/desk/use", json={"version": "code"})
    async with asyncio.timeout(5):
        while await used_version(agents, await agents.start("help_desk", "order_id: missing")) != code:
            pass
