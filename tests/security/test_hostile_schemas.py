"""Schemas and inputs designed to hang or crash the API: a pattern, a depth, a document that isn't a schema."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import text

from agentgrid.db.session import writing
from tests.api import factories
from tests.api.conftest import Api
from tests.api.wire import Reply, exchange
from tests.security.door import api, url

__all__ = ["api", "url"]

JSON = "Content-Type: application/json"
ME = "/api/v1/me"


def nested(levels: int) -> str:
    """A schema nested this deeply."""
    return '{"items": ' * levels + "{}" + "}" * levels


async def test_a_hanging_pattern_does_not_block_the_api(api: Api, url: str) -> None:
    """Regular expression denial of service in a schema: `^(a+)+$` froze the API for a minute."""
    await factories.insert(api.plane.engine, *factories.workflow("hanging", {"type": "string", "pattern": "^(a+)+$"}))
    began = time.monotonic()
    start = "/api/v1/workflows/hanging/runs"
    body = b'{"input": "' + b"a" * 40 + b'b"}'
    replies = await asyncio.gather(
        *(exchange(url, api.tokens["operator"], "POST", start, JSON, body=body) for _ in range(20)),
        *(exchange(url, api.tokens["viewer"], "GET", ME) for _ in range(20)),
    )
    assert time.monotonic() - began < 10
    for reply in replies[:20]:
        reply.is_problem(422, "invalid_input")
    assert {reply.status for reply in replies[20:]} == {200}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/Nowhere"},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"type": "wat"},
        {"pattern": "("},
        {"pattern": "(?<!x)y"},
        {"prefixItems": "x", "items": False},
        {"type": {"a": 1}},
    ],
    ids=str,
)
async def test_an_unusable_schema_refuses_the_start_without_a_500(api: Api, url: str, schema) -> None:
    name = f"unusable_{time.monotonic_ns()}"
    await factories.insert(api.plane.engine, *factories.workflow(name, schema))
    reply = await exchange(
        url, api.tokens["operator"], "POST", f"/api/v1/workflows/{name}/runs", JSON, body=b'{"input": 1}'
    )
    reply.is_problem(409, "conflict")
    assert "can't be used" in reply.json()["detail"]
    assert (await exchange(url, api.tokens["viewer"], "GET", f"/api/v1/workflows/{name}")).status == 200


@pytest.mark.parametrize("schema", ["null", "5", '["x"]', nested(260), nested(3_000)], ids=lambda schema: schema[:6])
async def test_an_invalid_schema_hides_neither_its_catalog_entry_nor_its_kill_switch(
    api: Api, url: str, schema: str
) -> None:
    """A hostile worker registers it. Otherwise nobody could list the tools, or disable this one."""
    name = f"odd_{time.monotonic_ns()}"
    await factories.insert(api.plane.engine, *factories.workflow(name, {}), factories.tool(name))

    async def ask(who: str, method: str, target: str, body: bytes = b"") -> Reply:
        return await exchange(url, api.tokens[who], method, f"/api/v1/{target}", JSON, body=body)

    assert (await ask("viewer", "GET", f"tools/{name}")).json()["input_schema"] == {"type": "object"}
    async with writing(api.plane.engine) as session:
        for table in ("workflow_versions", "tools"):
            odd = (
                f"UPDATE {table} SET input_schema = CAST(:s AS json), output_schema = CAST(:s AS json) WHERE name = :n"
            )
            await session.execute(text(odd), {"s": schema, "n": name})
        handlers = "UPDATE workflow_versions SET handlers = CAST(:s AS json) WHERE name = :n"
        await session.execute(
            text(handlers), {"s": f'{{"signals": [{{"name": "hold", "input_schema": {schema}}}]}}', "n": name}
        )

    (await ask("operator", "POST", f"workflows/{name}/runs", b'{"input": 1}')).is_problem(409, "conflict")
    for noun in ("workflows", "tools"):
        assert (await ask("viewer", "GET", f"{noun}?limit=200")).status == 200
        shown = await ask("viewer", "GET", f"{noun}/{name}")
        assert shown.status == 200
        assert shown.json()["input_schema"]["not"] == {}
        assert shown.json().get("handlers") is None
        disabled = await ask("admin", "POST", f"{noun}/{name}/disable")
        assert (disabled.status, disabled.json()["switch"]["disabled"]) == (200, True)


@pytest.mark.parametrize("depth", [10, 60, 100, 5_000, 100_000])
async def test_a_deeply_nested_input_is_accepted_or_refused_without_a_crash(api: Api, url: str, depth: int) -> None:
    name = f"nested_{depth}"
    schema = {
        "anyOf": [
            {"type": "array", "items": {"$ref": "#"}},
            {"type": "array", "items": {"$ref": "#"}},
            {"type": "string"},
        ]
    }
    await factories.insert(api.plane.engine, *factories.workflow(name, schema))
    body = b'{"input": ' + b"[" * depth + b'"x"' + b"]" * depth + b"}"
    reply = await exchange(url, api.tokens["operator"], "POST", f"/api/v1/workflows/{name}/runs", JSON, body=body)
    if depth <= 60:
        assert reply.status == 201, reply
    else:
        reply.is_problem(422, "invalid_input")
