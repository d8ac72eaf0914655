"""MCP servers as reported by workers: everyone with read permission sees which are held and why, and no route changes one."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from tests.api import factories
from tests.api.conftest import Api
from tests.conftest import worker_login
from tests.security.reporting import CATALOG, MCP_SERVERS, document

PLACE = "/api/v1/mcp-servers"
HOSTILE = "<img src=x onerror=alert(1)> \u202eesrever"


def server(name: str, state: str = "ready", **over: Any) -> dict[str, Any]:
    return {
        "name": name,
        "reached_by": "uvx",
        "tools": [f"{name}_a"],
        "state": state,
        "reason": "",
        "changes": [],
    } | over


async def report(dsn: str, queue: str, *servers: dict[str, Any]) -> None:
    connection = await asyncpg.connect(await worker_login(dsn, grid="mcp", queues=(queue,)))
    try:
        text = json.dumps({"grid": "mcp", "task_queue": queue, "servers": servers})
        await connection.execute(MCP_SERVERS, text)
    finally:
        await connection.close()


async def register(dsn: str, queue: str, tool: str) -> None:
    """Start a worker whose code has only this tool."""
    connection = await asyncpg.connect(await worker_login(dsn, grid="mcp", queues=(queue,)))
    try:
        tools = [json.loads(document())["tools"][0] | {"name": tool}]
        await connection.execute(CATALOG, document("mcp", queue, workflows=[], agents=[], tools=tools))
    finally:
        await connection.close()


async def test_held_servers_come_first_with_their_changes_and_removed_ones_disappear(
    api: Api, module_postgres_dsn: str
) -> None:
    change = {"tool": "a", "what": "changed", "before": "{}", "after": HOSTILE}
    held_server = server("news", "held", reason="it changed", changes=[change, {"what": "eaten"}, 7, [[[]]]])
    async with api.client("viewer") as http:
        await report(module_postgres_dsn, "q", server("clock"), held_server, server("away", "unreachable"))
        items = (await http.get(PLACE)).json()["items"]
        assert [(item["name"], item["state"]) for item in items] == [
            ("news", "held"),
            ("away", "unreachable"),
            ("clock", "ready"),
        ]
        assert items[0]["changes"] == [change]  # invalid changes are dropped
        assert items[0]["tools"] == ["news_a"]
        since = items[0]["since"]
        await report(module_postgres_dsn, "q", held_server, server("clock"))
        assert [item["name"] for item in (await http.get(PLACE)).json()["items"]] == ["news", "clock"]
        await register(module_postgres_dsn, "q", "news_a")
        assert [item["name"] for item in (await http.get(PLACE)).json()["items"]] == ["news"]
        await report(module_postgres_dsn, "q", held_server)
        (only,) = (await http.get(PLACE)).json()["items"]
        assert (only["name"], only["since"]) == ("news", since)
        assert only["reported_at"] > since
        await report(module_postgres_dsn, "q", server("news"))
        (ready,) = (await http.get(PLACE)).json()["items"]
        assert (ready["state"], ready["changes"]) == ("ready", [])
        assert ready["since"] > since


async def test_nulls_sent_by_a_compromised_worker_break_no_list(api: Api, module_postgres_dsn: str) -> None:
    """Regression: a `null` among an agent's tools or a tool's tags made every list that has them, and the overview, fail with an internal error."""
    sent = json.loads(document("mcp", "odd"))
    lists = (("workflows", "tags"), ("tools", "tags"), ("tools", "reach"), ("agents", "tools"), ("agents", "models"))
    for noun, name in lists:
        sent[noun][0][name] = [None, "odd"]
    connection = await asyncpg.connect(await worker_login(module_postgres_dsn, grid="mcp", queues=("odd",)))
    try:
        await connection.execute(CATALOG, json.dumps(sent))
    finally:
        await connection.close()
    await report(module_postgres_dsn, "odd", server("odd", tools=[None, *(f"t_{n}" for n in range(600))]))
    async with api.client("viewer") as http:
        places = [f"/api/v1/{noun}" for noun in ("workflows", "tools", "agents")]
        places += [f"{path}/{sent[path.rsplit('/', 1)[1]][0]['name']}" for path in places]
        for path in (*places, PLACE, "/api/v1/overview?lists=true"):
            response = await http.get(path)
            assert response.status_code == 200, (path, response.text)
        (tool,) = [item for item in (await http.get("/api/v1/tools")).json()["items"] if item["tags"] == ["odd"]]
        assert tool["name"] == sent["tools"][0]["name"]
        (odd,) = [item for item in (await http.get(PLACE)).json()["items"] if item["name"] == "odd"]
        assert odd["tools"] == [f"t_{n}" for n in range(500)]


async def test_r35_a_worker_cannot_make_another_grids_tool_look_held(api: Api, module_postgres_dsn: str) -> None:
    """Otherwise operators would look for the fault in the wrong project, or review a listing that isn't theirs."""
    await factories.insert(api.plane.engine, factories.tool("theirs_find", grid="theirs"))
    await register(module_postgres_dsn, "forging", "mine_find")
    forged = server("forged", "held", tools=["theirs_find", "mine_find", "not_registered_yet"])
    await report(module_postgres_dsn, "forging", forged)
    async with api.client("viewer") as http:
        (seen,) = [item for item in (await http.get(PLACE)).json()["items"] if item["name"] == "forged"]
    assert seen["tools"] == ["mine_find", "not_registered_yet"]


async def test_r35_a_worker_cannot_fill_the_list_or_a_response_with_made_up_data(
    api: Api, module_postgres_dsn: str
) -> None:
    huge = {"what": "changed", "before": "b" * 100_000, "after": "a" * 100_000, "tool": "t" * 10_000}
    made_up = [server(f"a{n:02}", "held") for n in range(59)]
    await report(module_postgres_dsn, "flood", *made_up)
    await report(module_postgres_dsn, "deep", server("a00", "held", changes=[huge]))
    connection = await asyncpg.connect(await worker_login(module_postgres_dsn, grid="honest", queues=("q",)))
    try:
        honest = {"grid": "honest", "task_queue": "q", "servers": [server("news", "held")]}
        await connection.execute(MCP_SERVERS, json.dumps(honest))
    finally:
        await connection.close()
    async with api.client("viewer") as http:
        items = (await http.get(PLACE)).json()["items"]
    assert sum(item["grid"] == "mcp" for item in items) == 50
    assert [item["name"] for item in items if item["grid"] == "honest"] == ["news"]
    (deep,) = [item for item in items if item["task_queue"] == "deep"]
    assert deep["changes"] == [
        {"tool": "t" * 100 + "…", "what": "changed", "before": "b" * 20_000 + "…", "after": "a" * 20_000 + "…"}
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_listing_cannot_be_accepted_over_http(api: Api, method: str) -> None:
    async with api.client("admin") as http:
        for path in (PLACE, f"{PLACE}/news", f"{PLACE}/news/accept"):
            assert (await http.request(method, path, json={})).status_code in (404, 405), path
