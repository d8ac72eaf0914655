"""Agents in the whole loop: model turns and calls are steps, with usage and under policy."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from temporalio.worker import Replayer, Worker

from agentgrid.domain.agents import ModelCall
from agentgrid.sdk.grid import Grid
from agentgrid.worker.deltas import Watched
from agentgrid.worker.model_requests import ModelAnswer, ModelTool, RawCall, plain_message
from agentgrid.worker.offline import Offline
from agentgrid.worker.plugin import AgentGridPlugin, governed_of
from agentgrid.worker.policy import PolicySource
from tests.agents import desk
from tests.api.conftest import eventually, listening
from tests.e2e.conftest import Loop, steps_of

pytestmark = pytest.mark.usefixtures("mirrored")


class Model(Offline):
    """The offline model. If the prompt says "in circles", it repeats one call for five turns."""

    async def answer(self, call: ModelCall, offers: list[ModelTool], final: ModelTool | None) -> ModelAnswer:
        answer = await super().answer(call, offers, final)
        if "in circles" not in call.messages[0]["text"] or call.turn > 5:
            return answer
        repeated = RawCall(id=f"call-{call.turn}", name="get_order", arguments={"order_id": "missing"})
        return dataclasses.replace(answer, calls=[repeated], message=plain_message([repeated], None))


@pytest.fixture(scope="module")
async def desk_worker(loop: Loop) -> AsyncIterator[Worker]:
    plugin = AgentGridPlugin(Grid("desk", desk), settings=loop.worker_settings, models=lambda _: Model())
    async with Worker(loop.client, task_queue="desk", plugins=[plugin]) as worker:
        yield worker


@pytest.fixture(scope="module")
def watched(desk_worker: Worker) -> Watched:
    """The worker's record of watched runs."""
    policy = governed_of(desk_worker).governor.policy
    assert isinstance(policy, PolicySource)
    return policy.watched


@pytest.fixture(scope="module")
async def agents(loop: Loop, desk_worker: Worker) -> Loop:
    async with asyncio.timeout(30):
        while len((await loop.call("operator", "GET", "/workflows?q=help_desk"))["items"]) < 1:
            await asyncio.sleep(0.05)
    return loop


async def test_an_agents_run_has_steps_for_turns_and_calls_and_waits_for_its_approval(agents: Loop):
    run_id = await agents.start("help_desk", "Please refund order_id: A-17")
    approval = await agents.approval(run_id)
    assert (approval["tool"], approval["title"]) == ("refund_order", "Refund an order")
    assert (approval["agent"], approval["agent_version"], approval["turn"]) == ("desk", desk.desk.version, 2)
    listed = await agents.call("reviewer", "GET", f"/approvals?agent=desk&run={run_id}")
    assert [item["turn"] for item in listed["items"]] == [2]
    assert (await agents.call("reviewer", "GET", f"/approvals?agent=chatty&run={run_id}"))["items"] == []
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


async def test_the_steps_of_a_delegated_agent_are_below_its_caller(agents: Loop):
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


async def test_an_interrupted_agent_pauses_its_run_and_continues_with_the_message(agents: Loop):
    run_id = await agents.start("help_desk", "Please refund order_id: E-5")
    approval = await agents.approval(run_id)
    body = {"reason": "wrong order", "message": "Do not refund it."}
    answer = await agents.call("operator", "POST", f"/runs/{run_id}/interrupt", 202, json=body)
    command = answer["command"]
    assert command["kind"] == "run.interrupt"

    run = await agents.until(run_id, "paused")
    assert (run["hold"], run["status_reason"]) == ("interrupted", "a person interrupted the agent desk in turn 2")
    assert (
        run["next"]["summary"] == "paused itself: a person interrupted its agent; resume it to let its agent continue"
    )
    assert (run["last_control"]["action"], run["last_control"]["principal"]) == ("interrupt", "operator")
    command = await agents.call("operator", "GET", f"/commands/{command['command_id']}")
    assert (command["status"], command["body"]) == ("applied", {"message": "Do not refund it."})
    approval = await agents.call("operator", "GET", f"/approvals/{approval['approval_id']}")
    assert approval["status"] == "cancelled"

    await agents.call("operator", "POST", f"/runs/{run_id}/resume", 202)
    run = await agents.until(run_id)
    assert run["status"] == "completed"
    steps = await steps_of(agents, run_id)
    assert [(step["kind"], step["status"]) for step in steps if step["name"] == "refund_order"] == [
        ("tool", "cancelled")
    ]
    new = steps[-1]["input"]["value"]["new"]
    assert [message.get("fault") or message["text"] for message in new] == [
        "interrupted by a person: the call was not made",
        "Do not refund it.",
    ]
    assert [item for item in desk.REFUNDS if item["order_id"] == "E-5"] == []
    refused = await agents.call("operator", "POST", f"/runs/{run_id}/interrupt", 409)
    assert "has ended" in refused["detail"]


async def test_a_watcher_receives_the_models_deltas(agents: Loop, watched: Watched):
    desk.SLOW.clear()
    run_id = await agents.start("waits_then_works", "Make the slow effect.")
    events: list[Any] = []

    async def listen(url: str) -> None:
        headers = {"Authorization": f"Bearer {agents.api.tokens['operator']}"}
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http,
            aconnect_sse(http, "GET", f"/api/v1/runs/{run_id}/events?deltas=true") as source,
        ):
            async for event in source.aiter_sse():
                events.append(event)
                if event.event == "delta":
                    desk.SLOW.set()

    async with listening(agents.api.app) as url, asyncio.timeout(30):
        assert not watched.holds(run_id)
        listener = asyncio.create_task(listen(url))
        while not watched.holds(run_id):
            await asyncio.sleep(0.02)
        await agents.until(run_id, "waiting")
        await agents.call("operator", "POST", f"/runs/{run_id}/signal", 202, json={"name": "go"})
        await listener
    first = next(json.loads(event.data)["data"] for event in events if event.event == "delta")
    assert (first["agent"], first["turn"], first["text"], first["tools"]) == ("slow", 1, "", ["slow_effect"])
    assert events[-1].event == "end"
    # The last deltas may come after the end event, by which time the record has the whole text.
    run = await agents.call("operator", "GET", f"/runs/{run_id}")
    assert (await steps_of(agents, run_id))[-1]["output"]["value"]["text"] == run["result"]["value"] != ""

    async def recorded() -> bool:
        reads = await agents.call("auditor", "GET", "/reads?limit=200")
        return any(read["subject"] == run_id and read["route"].endswith("/events") for read in reads["items"])

    await eventually(recorded)


async def test_the_kill_switch_lists_calls_in_flight_and_ends_them_at_their_next_step(agents: Loop):
    run_id = await agents.start("help_desk", "Please refund order_id: K-1")
    approval = await agents.approval(run_id)

    off = await agents.call("admin", "POST", "/agents/desk/disable", json={"reason": "it refunds too much"})
    try:
        (call,) = [call for call in off["in_flight"] if call["run_id"] == run_id]
        assert (call["workflow"], call["version"], call["run_status"]) == ("help_desk", desk.desk.version, "waiting")
        assert (off["switch"]["disabled"], off["called"]) == (True, True)
        await agents.decide(approval)
        run = await agents.until(run_id, timeout_seconds=10)
    finally:
        await agents.call("admin", "POST", "/agents/desk/enable")

    assert run["status"] == "failed"
    assert "the agent desk is disabled by its kill switch" in str(run["error"])
    assert [item for item in desk.REFUNDS if item["order_id"] == "K-1"] == []
    last = (await steps_of(agents, run_id))[-1]
    assert (last["kind"], last["status"], last["error"]["type"]) == ("model", "failed", "PolicyDenied")


async def test_an_agent_over_budget_pauses_its_run_with_the_reason_until_it_is_resumed(agents: Loop):
    run_id = await agents.start("chat", "go in circles", reference="circles")
    run = await agents.until(run_id, "paused")
    assert (run["hold"], run["status_reason"]) == ("budget_exceeded", "3 of 3 model requests")
    assert (
        run["next"]["summary"] == "paused itself: its agent has used up its budget; resume it to let its agent continue"
    )
    assert "resume" in run["next"]["actions"]
    await agents.call("operator", "POST", f"/runs/{run_id}/resume", 202, json={"reason": "one more budget"})
    run = await agents.until(run_id)
    assert (run["status"], run["hold"], run["usage"]["requests"]) == ("completed", None, 6)


async def test_the_model_is_told_the_arguments_that_an_approver_changed(agents: Loop):
    run_id = await agents.start("help_desk", "Please refund order_id: C-3")
    approval = await agents.approval(run_id)
    ran = {"order_id": "C-3", "amount_cents": 600}
    await agents.decide(approval, arguments=ran, comment="half of it")

    await agents.until(run_id)
    steps = await steps_of(agents, run_id)

    refund, turn = steps[4], steps[5]
    assert (refund["input"]["value"], refund["original_input"]["value"]["amount_cents"]) == (ran, 1250)
    (message,) = turn["input"]["value"]["new"]
    assert message["result"] == "refunded 600"
    assert message["approval"] == {"comment": "half of it", "ran_with": ran}


async def used_version(loop: Loop, run_id: str) -> str:
    """Wait for the call of the run's agent, and return the version that it is pinned to."""
    async with asyncio.timeout(60):
        while not (calls := [step for step in await steps_of(loop, run_id) if step["kind"] == "agent"]):
            await asyncio.sleep(0.05)
    return str(calls[0]["version"])


async def test_an_edit_reaches_new_calls_within_five_seconds_and_open_ones_keep_their_version(agents: Loop):
    code = (await agents.call("viewer", "GET", "/agents/desk"))["version"]
    opened = await agents.start("help_desk", "Please refund order_id: C-1")
    approval = await agents.approval(opened)
    edit = {"tools": ["get_order"], "note": "no refunds today", "expected_version": code}
    edited = await agents.call("operator", "PUT", "/agents/desk", json=edit)
    assert (edited["version"], edited["source"]) == ("edit-1", "operator")

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
    # The histories replay with the current code, whatever the agent's version is.
    replayer = Replayer(workflows=[], plugins=[AgentGridPlugin(Grid("desk", desk), settings=agents.worker_settings)])
    for run_id in (opened, later):
        await replayer.replay_workflow(await agents.client.get_workflow_handle(run_id).fetch_history())
    # The agent's usage equals the sum over its runs, including other tests', once all are projected.
    async with asyncio.timeout(60):
        while True:
            usage = (await agents.call("viewer", "GET", "/agents/desk/usage"))["total"]
            ran = (await agents.call("viewer", "GET", "/runs?agent=desk"))["items"]
            if usage["requests"] == sum(run["usage"]["requests"] for run in ran if run["usage"]):
                break
            await asyncio.sleep(0.05)
    assert {opened, later} <= {run["run_id"] for run in ran}
    shown = await agents.call("viewer", "GET", "/agents/desk")
    assert shown["stats"]["calls"]["completed"] >= 2
    tools = {tool["name"]: (tool["risk"], tool["allowed"], tool["effect"]) for tool in shown["tools"]}
    assert tools == {
        "get_order": ("read", True, "allow"),
        "refund_order": ("destructive", False, "require_approval"),
    }

    await agents.call("operator", "POST", "/agents/desk/use", json={"version": "code"})
    async with asyncio.timeout(5):
        while await used_version(agents, await agents.start("help_desk", "order_id: missing")) != code:
            pass
