"""MCP clients call the grid's tools: each call is a run that passes the gate, and people approve it outside MCP."""

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
    structured: dict[str, Any] = result.structured_content
    return structured


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_is_listed_and_called_as_a_run(loop: Loop, mode: str, executed) -> None:
    async with mcp_client(loop.api, "agent", mode) as client:
        listed = await client.list_tools()
        tools = {tool.name: tool for tool in listed.tools}
        lookup, refund = tools["lookup"], tools["refund"]
        assert (lookup.title, lookup.input_schema["required"]) == ("Look up an order", ["order"])
        assert (lookup.annotations.read_only_hint, refund.annotations.read_only_hint) == (True, False)
        assert tools["refund_ticket"].annotations.destructive_hint
        if mode == "auto":  # required by some clients, which otherwise see no tools
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
    assert [(command["kind"], command["principal"]) for command in commands] == [("run.start", "agent")]


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_needs_approval_is_working_until_a_person_approves_it(
    loop: Loop, mode: str, executed
) -> None:
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
        status = await client.call_tool("agentgrid_run_result", {"run_id": run_id})
        assert (content(status)["status"], executed) == ("working", [])
        await loop.decide(approval)
        done = await client.call_tool("agentgrid_run_result", {"run_id": run_id, "wait": 30})
    assert (content(done)["status"], content(done)["result"]) == ("completed", "refunded 900")
    assert [(name, order) for name, order, _ in executed] == [("refund", f"o-{mode}")]


async def test_a_rejected_call_is_returned_to_the_model_as_an_error(loop: Loop, executed) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    async with mcp_client(loop.api, "agent") as client:
        run_id = content(await client.call_tool("refund", {"order": "o-no", "cents": 1}))["run_id"]
        await loop.decide(await loop.approval(run_id), "rejected")
        result = await client.call_tool("agentgrid_run_result", {"run_id": run_id, "wait": 30})
    assert (result.is_error, content(result)["status"], executed) == (True, "failed", [])
    assert "ApprovalRejected" in result.content[0].text


async def test_an_oversized_result_is_omitted_and_the_text_names_the_run(loop: Loop) -> None:
    async with mcp_client(loop.api, "agent") as client:
        result = await client.call_tool("write_long", {"size": 500_000})
    assert (content(result)["status"], "result" in content(result)) == ("completed", False)
    assert content(result)["run_id"] in result.content[0].text
    assert len(result.content[0].text) < 20_000


async def test_a_disabled_tool_is_not_listed_and_its_calls_are_refused(loop: Loop, executed) -> None:
    await loop.call("admin", "POST", "/tools/note/disable", json={})
    async with mcp_client(loop.api, "agent") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert ("note" in names, "lookup" in names) == (False, True)
        await loop.call("admin", "POST", "/workflows/tool.lookup/disable", json={"reason": "only by workflows"})
        refused = await client.call_tool("lookup", {"order": "o"})
        assert (refused.is_error, "only by workflows" in refused.content[0].text) == (True, True)
        await loop.call("admin", "POST", "/workflows/tool.lookup/enable", json={})
    assert executed == []
