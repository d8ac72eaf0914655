"""The endpoint for MCP clients: who is offered what, and that a call is a start like any other."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import pytest

from agentgrid.api.access import ACCESS
from agentgrid.api.mcp import lazy, server
from agentgrid.api.mcp.route_tools import ROUTES
from agentgrid.control import api_keys, principals
from agentgrid.domain.principals import Permission, Principal, PrincipalKind, Role
from agentgrid.sdk.grid import Grid
from agentgrid.worker import catalog
from tests.api import factories
from tests.api.conftest import SETUP, Api, eventually
from tests.api.talking_mcp import MODES, may_call, mcp_client, message
from tests.conftest import worker_login
from tests.worker import gated

TOOLS = {"flaky", "lookup", "note", "read_long", "refund", "slow_refund", "write_long"}
"""Of the module `gated`."""


@pytest.fixture(scope="module", autouse=True)
async def registered(api: Api, module_postgres_dsn: str) -> None:
    """The tools are in the catalog, but no worker serves them."""
    await catalog.sync(await worker_login(module_postgres_dsn), Grid("gated", gated), "nobody-polls")
    await may_call(api, "operator", "agent")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WAIT_SECONDS", 0.1)


async def scoped(api: Api, name: str, *globs: str) -> str:
    """A principal that may start runs of only these workflows."""
    principal = Principal(
        name=name, kind=PrincipalKind.AGENT, roles=frozenset({Role.OPERATOR}), workflows=frozenset(globs)
    )
    await principals.put(api.plane.engine, SETUP, principal)
    key = await api_keys.create(api.plane.engine, SETUP, principal=name, lifetime=timedelta(days=1))
    api.tokens[name] = key.secret
    return key.key_id


async def offered(api: Api, who: str) -> set[str]:
    async with mcp_client(api, who) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


async def runs_of(as_, workflow: str) -> list[dict[str, Any]]:
    page = await as_("operator").get("/api/v1/runs", params={"workflow": workflow, "limit": 200})
    return page.json()["items"]


@pytest.mark.parametrize(
    ("who", "tools", "starts"),
    [("operator", TOOLS, True), ("developer", set(), True), ("viewer", set(), False), ("admin", set(), False)],
)
async def test_tools_are_listed_by_scope_and_reads_by_permission(api: Api, who: str, tools: set[str], starts: bool):
    names = await offered(api, who)
    reads = {name for name, route in ROUTES.items() if route.startswith("GET ")}
    assert names == tools | reads | ({"agentgrid_start_run"} if starts else set())


@pytest.mark.parametrize(
    ("glob", "tools"),
    [
        ("*", set()),
        ("*refund", set()),
        ("t*", set()),
        ("tool.lookup", {"lookup"}),
        ("tool.*refund", {"refund", "slow_refund"}),
    ],
)
async def test_a_scope_includes_tools_only_if_it_names_them(api: Api, as_, glob: str, tools: set[str]):
    await scoped(api, "narrow", glob)
    assert (await offered(api, "narrow")) & TOOLS == tools
    before = len(await runs_of(as_, "tool.slow_refund"))
    async with mcp_client(api, "narrow") as client:
        result = await client.call_tool("slow_refund", {"order": "o", "cents": 1})
    assert result.is_error != ("slow_refund" in tools)
    # The same key sent the other way.
    direct = await as_("narrow").post(
        "/api/v1/workflows/tool.slow_refund/runs", json={"input": {"order": "o", "cents": 1}}
    )
    assert direct.status_code == (201 if "slow_refund" in tools else 404)
    assert len(await runs_of(as_, "tool.slow_refund")) - before == (2 if "slow_refund" in tools else 0)


def test_no_verb_decides_governs_administers_or_stops_anything():
    needed = {ACCESS[route].permission for route in ROUTES.values()}
    assert needed <= {Permission.READ, Permission.START}
    assert [name for name, route in ROUTES.items() if not route.startswith("GET ")] == ["agentgrid_start_run"]


@pytest.mark.parametrize("who", ["admin", "reviewer", "both", "robot"])
async def test_an_unlisted_tool_cannot_be_called_by_name_either(api: Api, who: str):
    from mcp.shared.exceptions import MCPError

    async with mcp_client(api, who) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        for name in ("decide", "approve", "agentgrid_decide", "agentgrid_approve", "agentgrid_put_policy",
                     "agentgrid_create_key", "agentgrid_cancel_run", "tool.refund", "../keys"):  # fmt: skip
            assert name not in names
            with pytest.raises(MCPError, match="Unknown tool"):
                await client.call_tool(name, {"approval_id": "a-1", "verdict": "approved"})


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_without_a_worker_is_working_and_its_run_is_recorded(api: Api, as_, mode: str):
    async with mcp_client(api, "agent", mode) as client:
        result = await client.call_tool("refund", {"order": "o-1", "cents": 5})
    assert (result.structured_content["status"], result.is_error) == ("working", False)
    run = (await as_("operator").get(f"/api/v1/runs/{result.structured_content['run_id']}")).json()
    assert (run["workflow"], run["initiator"], run["tags"]) == ("tool.refund", "agent", ["mcp"])


@pytest.mark.parametrize("mode", MODES)
async def test_invalid_arguments_are_explained_to_the_model_and_start_nothing(api: Api, as_, mode: str):
    before = len(await runs_of(as_, "tool.refund"))
    async with mcp_client(api, "agent", mode) as client:
        result = await client.call_tool("refund", {"order": "o-1", "cents": "many", "force": True})
    assert (result.is_error, result.structured_content["code"]) == (True, "invalid_input")
    assert "/cents" in result.content[0].text
    assert "/input" not in result.content[0].text
    assert len(await runs_of(as_, "tool.refund")) == before
    refused = await as_("auditor").get(f"/api/v1/commands/{result.structured_content['command_id']}")
    assert [refused.json()[name] for name in ("status", "principal", "target")] == ["refused", "agent", "tool.refund"]


async def test_the_same_idempotency_key_is_the_same_run(api: Api):
    meta: Any = {server.IDEMPOTENCY_KEY: "order-7"}
    async with mcp_client(api, "agent") as client:
        first = await client.call_tool("refund", {"order": "o-7", "cents": 5}, meta=meta)
        again = await client.call_tool("refund", {"order": "o-7", "cents": 5}, meta=meta)
        other = await client.call_tool("refund", {"order": "o-7", "cents": 6}, meta=meta)
        without = [await client.call_tool("refund", {"order": "o-7", "cents": 5}) for _ in range(2)]
    assert first.structured_content["run_id"] == again.structured_content["run_id"]
    assert (other.is_error, other.structured_content["code"]) == (True, "idempotency_conflict")
    ids = {first.structured_content["run_id"], *(item.structured_content["run_id"] for item in without)}
    assert len(ids) == 3


async def test_reads_go_through_the_routes_and_are_recorded(api: Api, as_):
    run = factories.run(input={"size": 4, "value": "given"})
    await factories.insert(api.plane.engine, run, factories.execution(run))
    async with mcp_client(api, "operator") as client:
        seen = await client.call_tool("agentgrid_get_run", {"run_id": run.run_id})
        page = await client.call_tool("agentgrid_list_runs", {"status": ["running"], "limit": 200, "stuck": None})
        wrong = await client.call_tool("agentgrid_list_runs", {"colour": "red", "limit": 0})
    assert seen.structured_content == (await as_("operator").get(f"/api/v1/runs/{run.run_id}")).json()
    assert run.run_id in {item["run_id"] for item in page.structured_content["items"]}
    assert (wrong.is_error, "colour" in wrong.content[0].text) == (True, True)
    async with mcp_client(api, "viewer") as client:
        blind = await client.call_tool("agentgrid_get_run", {"run_id": run.run_id})
    assert blind.structured_content["input"] is None
    await api.app.state.reads.flush()
    noted = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id})).json()["items"]
    assert {(item["principal"], item["route"]) for item in noted} == {("operator", "GET /api/v1/runs/{run_id}")}


async def test_a_revoked_key_ends_its_open_calls(api: Api, as_, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "WAIT_SECONDS", 30.0)
    key_id = await scoped(api, "leaver", "tool.*")
    call = message("tools/call", {"name": "refund", "arguments": {"order": "o", "cents": 1}})
    accepts = {"Accept": "application/json, text/event-stream"}
    task = asyncio.create_task(as_("leaver").post("/mcp", json=call, headers=accepts))

    async def waits() -> bool:
        return api.app.state.waiting.count == 1

    await eventually(waits)
    await api_keys.revoke(api.plane.engine, SETUP, key_id)
    async with asyncio.timeout(10):
        response = await task
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
async def test_there_are_no_streams_and_no_sessions(as_, method: str):
    response = await as_("operator").request(method, "/mcp", headers={"Accept": "text/event-stream"})
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_a_server_without_the_extra_says_what_to_install(api: Api, as_, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(api.app.state._state, "mcp", lazy.Lazy())
    for module in (lazy.SERVER, "agentgrid.api.mcp.results", "mcp", "mcp_types"):
        monkeypatch.setitem(sys.modules, module, None) if "." not in module else monkeypatch.delitem(
            sys.modules, module
        )
    response = await as_("operator").post("/mcp", json=message("tools/list"))
    assert (response.status_code, response.headers["content-type"]) == (501, "application/problem+json")
    assert (response.json()["code"], "agentgrid[mcp]" in response.json()["detail"]) == ("mcp_not_installed", True)
