"""An agent's run through the whole loop: each model turn and each call is a step, priced, under policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentgrid.sdk.grid import Grid
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


async def test_an_interrupted_agent_pauses_its_run_and_goes_on_with_the_message(agents: Loop):
    run_id = await agents.start("help_desk", "Please refund order_id: C-3")
    approval = await agents.approval(run_id)
    body = {"reason": "wrong order", "message": "Do not refund it."}
    answer = await agents.call("operator", "POST", f"/runs/{run_id}/interrupt", 202, json=body)
    command = answer["command"]
    assert command["kind"] == "run.interrupt"

    run = await agents.until(run_id, "paused")
    assert run["status_reason"] == "interrupted: a person interrupted the agent desk in turn 2"
    assert (run["last_control"]["action"], run["last_control"]["principal"]) == ("interrupt", "operator")
    found = await agents.call("operator", "GET", f"/commands/{command['command_id']}")
    assert (found["status"], found["body"]) == ("applied", {"message": "Do not refund it."})
    approval = await agents.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert approval["status"] == "cancelled"

    await agents.call("operator", "POST", f"/runs/{run_id}/resume", 202)
    run = await agents.until(run_id)
    assert run["status"] == "completed"
    steps = await steps_of(agents, run_id)
    assert [(step["kind"], step["status"]) for step in steps if step["name"] == "refund_order"] == [
        ("tool", "cancelled")
    ]
    told = steps[-1]["input"]["value"]["new"]
    assert [message.get("fault") or message["text"] for message in told] == [
        "interrupted by a person: the call was not made",
        "Do not refund it.",
    ]
    assert [item for item in desk.REFUNDS if item["order_id"] == "C-3"] == []
    refused = await agents.call("operator", "POST", f"/runs/{run_id}/interrupt", 409)
    assert "has ended" in refused["detail"]
