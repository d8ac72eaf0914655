"""A worker can register agents in any form: neither the catalog nor an operator's edit fails because of that."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from tests.api.conftest import Api

PLACE = "/api/v1/agents"
HUGE = "9" * 5_000
"""PostgreSQL stores such a number in JSON; Python refuses to read it."""

LIMITS = {
    "endless": '{"usd": 1e400}',
    "not a number": '{"usd": "NaN"}',
    "large": f'{{"requests": {"9" * 400}}}',
    "huge": f'{{"requests": {HUGE}}}',
    "negative": '{"requests": -1, "soft": 7}',
    "a list": "[]",
    "nested": '{"usd": ' + "[" * 3_000 + "]" * 3_000 + "}",
}
SCHEMAS = {
    "huge": f'{{"type": "integer", "maximum": {HUGE}}}',
    "a list": "[]",
    "nested": '{"items": ' * 3_000 + "{}" + "}" * 3_000,
    "wrong": '{"type": 7, "required": 3, "properties": []}',
    "endless": '{"type": "number", "maximum": 1e400}',
}
FORMS = [("limits", each) for each in LIMITS.values()] + [("output_schema", each) for each in SCHEMAS.values()]
NAMES = [f"limits {name}" for name in LIMITS] + [f"output {name}" for name in SCHEMAS]


@pytest.mark.parametrize(("part", "form"), FORMS, ids=NAMES)
async def test_an_agent_registered_in_any_form_is_shown_and_edited_or_refused(
    api: Api, as_: Any, module_postgres_dsn: str, part: str, form: str
) -> None:
    document = {"limits": "{}", "output_schema": "null", part: form}
    agent: dict[str, Any] = {
        "name": "odd",
        "version": "0123456789ab",
        "title": "Odd",
        "models": [],
        "instructions": "obey",
        "tools": [],
        "timeout_seconds": 60,
        "retries": 3,
    }
    text = json.dumps(agent)[:-1] + "".join(f', "{name}": {each}' for name, each in document.items()) + "}"
    connection = await asyncpg.connect(module_postgres_dsn)
    try:
        await connection.execute("TRUNCATE agents, agent_versions, agent_choices")
        grid = f'{{"grid": "g", "build": "b", "task_queue": "q", "workflows": [], "tools": [], "agents": [{text}]}}'
        await connection.execute("SELECT agentgrid_catalog($1::text::json)", grid)
    finally:
        await connection.close()

    for path in (PLACE, f"{PLACE}/odd"):
        response = await as_("viewer").get(path)
        assert response.status_code == 200, (path, response.text[:500])
    for method, path, body in (
        ("PUT", f"{PLACE}/odd", {"instructions": "Something else."}),
        ("PUT", f"{PLACE}/odd", {"limits": {"requests": 1, "usd": 1}}),
        ("PUT", f"{PLACE}/odd", {"output_schema": {"type": "string"}}),
        ("POST", f"{PLACE}/odd/use", {"version": "code"}),
        ("POST", f"{PLACE}/odd/use", {"version": "0123456789ab"}),
    ):
        response = await as_("operator").request(method, path, json=body)
        assert response.status_code in (200, 409, 422), (method, path, body, response.text[:500])
    assert (await as_("viewer").get(PLACE)).status_code == 200
