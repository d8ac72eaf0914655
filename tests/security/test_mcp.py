"""Attacks on the endpoint for MCP clients."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from agentgrid.api.mcp import server
from agentgrid.control import api_keys, principals
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.sdk.grid import Grid
from agentgrid.worker import catalog
from tests.api import factories
from tests.api.conftest import SETUP, Api, api, as_
from tests.api.talking_mcp import may_call, mcp_client, message
from tests.conftest import worker_login
from tests.worker import gated

__all__ = ["api", "as_"]

JSON = {"Accept": "application/json, text/event-stream"}
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture(scope="module", autouse=True)
async def registered(api: Api, module_postgres_dsn: str) -> None:
    await catalog.sync(await worker_login(module_postgres_dsn), Grid("gated", gated), "nobody-polls")
    await may_call(api, "operator", "agent")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WAIT_SECONDS", 0.1)


async def count(api: Api) -> int:
    async with api.client("operator") as client:
        return int((await client.get("/api/v1/runs/counts")).json()["total"])


async def test_another_principals_runs_and_approvals_do_not_exist(api: Api):
    stranger = Principal(
        name="stranger", kind=PrincipalKind.AGENT, roles=frozenset({Role.OPERATOR}), workflows=frozenset({"tool.*"})
    )
    await principals.put(api.plane.engine, SETUP, stranger)
    key = await api_keys.create(api.plane.engine, SETUP, principal="stranger", lifetime=timedelta(days=1))
    api.tokens["stranger"] = key.secret
    outside = factories.run(workflow="payroll", input={"size": 6, "value": "salary"})
    inside = factories.run(workflow="tool.refund", initiator="operator")
    approval = factories.approval(inside, payload={"size": 6, "value": "salary"})
    await factories.insert(
        api.plane.engine, outside, factories.execution(outside), inside, factories.execution(inside), approval
    )
    async with mcp_client(api, "stranger") as client:
        for name, arguments in (
            ("agentgrid_get_run", {"run_id": outside.run_id}),
            ("agentgrid_run_result", {"run_id": outside.run_id}),
            ("agentgrid_list_steps", {"run_id": outside.run_id}),
            ("agentgrid_get_approval", {"approval_id": approval.approval_id}),
        ):
            result = await client.call_tool(name, arguments)
            assert (result.is_error, result.structured_content["code"]) == (True, "not_found"), name
        for name, arguments in (("agentgrid_list_runs", {"workflow": "payroll"}), ("agentgrid_list_approvals", {})):
            result = await client.call_tool(name, arguments)
            assert result.structured_content["items"] == [], name


@pytest.mark.parametrize("tail", ["/logs", "/history", "/events", "?wait=60", "/../../keys", "%2e%2e/keys", "#x"])
async def test_no_value_in_a_path_leads_to_another_route(api: Api, tail: str):
    run = factories.run(input={"size": 4, "value": "given"})
    await factories.insert(api.plane.engine, run, factories.execution(run))
    async with mcp_client(api, "robot") as client:
        result = await client.call_tool("agentgrid_get_run", {"run_id": run.run_id + tail})
    assert result.is_error
    assert result.structured_content["code"] in ("not_found", "invalid_input")


async def test_a_body_cannot_carry_another_identity_or_a_second_request(api: Api, as_):
    stolen = f"Bearer {api.tokens['admin']}"
    meta: Any = {"authorization": stolen, "Authorization": stolen, server.IDEMPOTENCY_KEY: "k\r\nAuthorization: x"}
    before = await count(api)
    async with mcp_client(api, "agent") as client:
        result = await client.call_tool("refund", {"order": "o", "cents": 1}, meta=meta)
        assert (result.is_error, result.structured_content["code"]) == (True, "invalid_input")
        result = await client.call_tool("agentgrid_get_run", {"run_id": api.tokens["admin"]})
        assert (result.is_error, "revoke the key" in result.content[0].text) == (True, True)
        result = await client.call_tool("agentgrid_overview", {"authorization": "Bearer x"})
        assert (result.is_error, result.structured_content["code"]) == (True, "invalid_input")
    assert await count(api) == before
    both = [("Authorization", f"Bearer {api.tokens['agent']}"), ("Authorization", stolen)]
    answer = await as_(None).post("/mcp", json=message("tools/list"), headers=both)
    assert answer.status_code == 400


async def test_headers_that_contradict_the_body_are_refused(api: Api, as_):
    params = {"name": "refund", "arguments": {"order": "o", "cents": 1}, "_meta": MODERN}
    call = message("tools/call", params)
    before = await count(api)
    for headers in (
        {"Mcp-Method": "tools/list", "Mcp-Name": "refund"},
        {"Mcp-Method": "tools/call", "Mcp-Name": "agentgrid_overview"},
        {},
    ):
        sent = JSON | {"MCP-Protocol-Version": "2026-07-28"} | headers
        answer = await as_("agent").post("/mcp", json=call, headers=sent)
        assert answer.status_code == 400, answer.text
    assert await count(api) == before


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (json.dumps([message("tools/call", {"name": "refund", "arguments": {"order": "o", "cents": 1}})] * 3), 400),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":"' + b"x" * 3_000_000 + b'"}}', 413),
        ("[" * 100_000, 422),
        ('{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}', 422),
        ("", 400),
        ('{"jsonrpc":"2.0","id":1,"result":{}}', 202),
        (json.dumps(message("subscriptions/listen")), 200),
        (json.dumps(message("resources/read", {"uri": "file:///etc/passwd"})), 200),
    ],
)
async def test_batches_huge_bodies_and_other_methods_start_nothing(api: Api, as_, content: Any, status: int):
    before = await count(api)
    headers = JSON | {"Content-Type": "application/json"}
    answer = await as_("agent").post("/mcp", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["error"]["code"] == -32601
    assert await count(api) == before


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999"])
async def test_a_page_of_another_origin_reaches_nothing(api: Api, as_, origin: str):
    before = await count(api)
    call = message("tools/call", {"name": "refund", "arguments": {"order": "o", "cents": 1}})
    answer = await as_("agent").post("/mcp", json=call, headers=JSON | {"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    rebound = await as_("agent").post("/mcp", json=call, headers=JSON | {"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["code"]) == (400, "unknown_host")
    # Requests that a page can send without a preflight.
    plain = await as_("agent").post("/mcp", content=json.dumps(call), headers=JSON | {"Content-Type": "text/plain"})
    preflight = await as_("agent").options("/mcp", headers={"Access-Control-Request-Method": "POST"})
    assert (plain.status_code, preflight.status_code) == (415, 405)
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert await count(api) == before


async def test_a_workflow_that_another_grid_names_after_a_tool_gets_none_of_its_calls(
    api: Api, module_postgres_dsn: str
):
    from mcp.shared.exceptions import MCPError

    honest = catalog.document(Grid("gated", gated), "nobody-polls")
    alone = {**honest, "grid": "tools-alone", "workflows": [], "tools": [{**honest["tools"][0], "name": "pay"}]}
    catcher = next(entry for entry in honest["workflows"] if entry["name"] == "tool.refund") | {"name": "tool.pay"}
    evil = {**honest, "grid": "evil", "task_queue": "evil", "tools": [], "workflows": [catcher]}
    for grid, queue, document in (("tools-alone", "nobody-polls", alone), ("evil", "evil", evil)):
        dsn = await worker_login(module_postgres_dsn, grid=grid, queues=(queue,))
        await _register(dsn, document)
    async with mcp_client(api, "agent") as client:
        assert "pay" not in {tool.name for tool in (await client.list_tools()).tools}
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("pay", {})


async def _register(dsn: str, document: dict[str, Any]) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SELECT agentgrid_catalog($1::json)", json.dumps(document))
    finally:
        await connection.close()
