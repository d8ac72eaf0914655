"""MCP clients and the grid's tools: each call is a run, under the gate, and people approve elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.worker import Replayer

from agentgrid.api.mcp import server
from agentgrid.sdk.grid import Grid
from agentgrid.worker.plugin import AgentGridPlugin
from tests.api.talking_mcp import MODES, may_call, mcp_client
from tests.e2e.conftest import Loop
from tests.worker import gated

if TYPE_CHECKING:
    from mcp.types import CallToolResult


@pytest.fixture(scope="module", autouse=True)
async def granted(loop: Loop) -> None:
    await may_call(loop.api, "agent")


@pytest.fixture(autouse=True)
def executed() -> Iterator[list[tuple[str, str, str]]]:
    gated.EXECUTED.clear()
    yield gated.EXECUTED
    gated.EXECUTED.clear()


def content(result: CallToolResult) -> dict[str, Any]:
    found: dict[str, Any] = result.structured_content
    return found


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_is_listed_and_called_as_a_run_of_its_own(loop: Loop, mode: str, executed) -> None:
    async with mcp_client(loop.api, "agent", mode) as client:
        listed = await client.list_tools()
        tools = {tool.name: tool for tool in listed.tools}
        lookup, refund = tools["lookup"], tools["refund"]
        assert (lookup.title, lookup.input_schema["required"]) == ("Look up an order", ["order"])
        assert (lookup.annotations.read_only_hint, refund.annotations.read_only_hint) == (True, False)
        assert tools["refund_ticket"].annotations.destructive_hint
        if mode == "auto":  # as some clients require, which otherwise see no tools
            assert (listed.ttl_ms, listed.next_cursor) == (10_000, None)
        assert (listed.cache_scope, "agentgrid_list_runs" in tools) == ("private", True)
        result = await client.call_tool("lookup", {"order": "o-1"})
    assert not result.is_error, result
    assert (content(result)["status"], content(result)["result"], result.content[0].text) == (
        "completed",
        "O-1",
        '"O-1"',
    )
    run = await loop.until(content(result)["run_id"])
    assert (run["workflow"], run["initiator"], run["tags"]) == ("tool.lookup", "agent", ["mcp"])
    assert (run["governed"], run["input"]["value"], run["version"] is not None) == (True, {"order": "o-1"}, True)
    steps = (await loop.call("operator", "GET", f"/runs/{run['run_id']}/steps"))["items"]
    assert [(step["kind"], step["name"], step["status"]) for step in steps] == [("tool", "lookup", "completed")]
    assert [name for name, *_ in executed] == ["lookup"]
    history = await loop.client.get_workflow_handle(run["workflow_id"]).fetch_history()
    replayer = Replayer(workflows=[], plugins=[AgentGridPlugin(Grid("gated", gated))])
    await replayer.replay_workflow(history)
    commands = (await loop.call("auditor", "GET", f"/commands?run={run['run_id']}"))["items"]
    assert [(each["kind"], each["principal"]) for each in commands] == [("run.start", "agent")]


@pytest.mark.parametrize("mode", MODES)
async def test_a_gated_call_is_working_until_a_person_approves_it_elsewhere(loop: Loop, mode: str, executed) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    async with mcp_client(loop.api, "agent", mode) as client:
        call = {"order": f"o-{mode}", "cents": 900}
        async with asyncio.timeout(server.WAIT_SECONDS - 5):  # it does not wait for people
            result = await client.call_tool("refund", call)
        assert (content(result)["status"], result.is_error) == ("working", False)
        assert "waiting for a person's approval" in result.content[0].text
        run_id = content(result)["run_id"]
        approval = await loop.approval(run_id)
        assert (approval["payload"]["value"], approval["initiator"]) == (call, "agent")
        again = await client.call_tool("agentgrid_run_result", {"run_id": run_id})
        assert (content(again)["status"], executed) == ("working", [])
        await loop.decide(approval)
        done = await client.call_tool("agentgrid_run_result", {"run_id": run_id, "wait": 30})
    assert (content(done)["status"], content(done)["result"]) == ("completed", "refunded 900")
    assert [(name, order) for name, order, _ in executed] == [("refund", f"o-{mode}")]


async def test_a_rejected_call_is_an_error_that_the_model_reads(loop: Loop, executed) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    async with mcp_client(loop.api, "agent") as client:
        run_id = content(await client.call_tool("refund", {"order": "o-no", "cents": 1}))["run_id"]
        await loop.decide(await loop.approval(run_id), "rejected")
        result = await client.call_tool("agentgrid_run_result", {"run_id": run_id, "wait": 30})
    assert (result.is_error, content(result)["status"], executed) == (True, "failed", [])
    assert "ApprovalRejected" in result.content[0].text


async def test_a_result_that_is_too_long_is_cut_and_names_the_run(loop: Loop) -> None:
    async with mcp_client(loop.api, "agent") as client:
        result = await client.call_tool("write_long", {"size": 500_000})
    assert (content(result)["status"], "result" in content(result)) == ("completed", False)
    assert content(result)["run_id"] in result.content[0].text
    assert len(result.content[0].text) < 20_000


async def test_the_kill_switch_of_a_tool_takes_it_out_of_the_list_and_refuses_its_calls(loop: Loop, executed) -> None:
    await loop.call("admin", "POST", "/tools/note/disable", json={})
    async with mcp_client(loop.api, "agent") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert ("note" in names, "lookup" in names) == (False, True)
        await loop.call("admin", "POST", "/workflows/tool.lookup/disable", json={"reason": "only by workflows"})
        refused = await client.call_tool("lookup", {"order": "o"})
        assert (refused.is_error, "only by workflows" in refused.content[0].text) == (True, True)
        await loop.call("admin", "POST", "/workflows/tool.lookup/enable", json={})
    assert executed == []
