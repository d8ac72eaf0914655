"""Signals and queries: checked against the handlers declared by the run's version, and limited to permitted callers."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client

from agentgrid.control import api_keys, handlers, principals
from agentgrid.control.waits import Waits
from agentgrid.db.session import reading
from agentgrid.db.tables import WorkflowVersion
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.errors import RateLimited
from tests.api import factories
from tests.api.conftest import PRINCIPALS, SETUP, Api
from tests.api.messages import (
    ACCEPTED,
    SIGNALED,
    ask,
    change,
    client,
    count,
    opened,
    queue,
    recorded,
    signal,
    talk,
)

__all__ = ["client", "queue", "talk"]


# --- the catalog


async def test_the_catalog_lists_handlers_with_their_arguments_and_docstrings(talk: Api, as_: Any) -> None:
    declared = (await as_("viewer").get("/api/v1/workflows/talks")).json()["handlers"]
    assert [each["name"] for each in declared["signals"]] == ["end", "hold", "release", "renew"]
    assert [each["name"] for each in declared["queries"]] == ["broken", "repeated", "total"]
    assert declared["dynamic"] == []
    hold = declared["signals"][1]
    assert hold["description"].startswith("Hold it back.")
    schema = hold["input_schema"]
    assert [(item["title"], item["type"]) for item in schema["prefixItems"]] == [("why", "string"), ("days", "integer")]
    assert (schema["minItems"], schema["maxItems"], hold["output_schema"]) == (1, 2, None)
    add = next(each for each in declared["updates"] if each["name"] == "add")
    assert (add["description"], add["output_schema"]) == ("Add a number to the sum.", {"type": "integer"})
    everything = (await as_("viewer").get("/api/v1/workflows/listens_to_everything")).json()["handlers"]
    assert everything["dynamic"] == ["signal", "query", "update"]
    dynamic = (await as_("viewer").get("/api/v1/workflows/sets_handlers")).json()["handlers"]
    assert dynamic["dynamic"] == ["signal"], "it registers a handler while it runs"


async def test_missing_handlers_of_a_version_are_filled_in_and_never_lost(talk: Api, module_postgres_dsn: str) -> None:
    """A worker of an earlier AgentGrid sends none. The same version is then registered with them, and then without them again."""
    name = f"w{uuid.uuid4().hex[:8]}"
    entry = {"name": name, "version": "1", "title": name, "tags": [], "input_schema": {}, "output_schema": None}
    declared = {"signals": [{"name": "go", "input_schema": {}}]}
    connection = await asyncpg.connect(module_postgres_dsn)
    try:
        for handlers_, expected in ((None, None), (declared, declared), (None, declared)):
            with_them = entry if handlers_ is None else entry | {"handlers": handlers_}
            document = {"grid": "g", "build": "b", "task_queue": "q", "workflows": [with_them], "tools": []}
            await connection.execute("SELECT agentgrid_catalog($1::json)", json.dumps(document))
            async with reading(talk.plane.engine) as session:
                version = await session.get(WorkflowVersion, (name, "1"))
            assert version is not None
            assert version.handlers == expected
    finally:
        await connection.close()


# --- signals


async def test_a_misspelt_signal_is_refused_with_the_nearest_name_and_not_sent(
    talk: Api, as_: Any, client: Client
) -> None:
    run, handle = await opened(talk, client, "nobody")
    wrong = await signal(as_("operator"), run, "hodl", "why")
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["faults"][0]["pointer"]) == (
        422,
        "invalid_input",
        "/name",
    )
    assert "did you mean 'hold'?" in wrong.json()["detail"]
    misfits = [(), ("why", "two"), ("why", 1, 2), (3,)]
    for arguments in misfits:
        response = await signal(as_("operator"), run, "hold", *arguments)
        assert response.status_code == 422, arguments
        assert "takes 2 arguments: why, days (optional)" in response.json()["detail"]
        assert response.json()["faults"][0]["pointer"].startswith("/arguments")
    assert await count(handle, SIGNALED) == 0
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert [(item["kind"], item["status"], item["what"]) for item in audit[-1:]] == [("run.signal", "refused", "hodl")]
    assert len(audit) == 1 + len(misfits)
    right = await signal(as_("operator"), run, "hold", "why", 3)
    assert (right.status_code, right.json()["handler"]) == (202, "declared")
    assert await count(handle, SIGNALED) == 1


async def test_a_signal_is_sent_if_handlers_are_unknown_or_dynamic_and_the_response_says_so(
    talk: Api, as_: Any, client: Client
) -> None:
    await factories.insert(talk.plane.engine, *factories.workflow("before_handlers"))
    cases = (
        ("plain", {"version": None}, "unknown"),
        ("before_handlers", {"version": "v1"}, "unknown"),
        ("talks", {"version": "forgotten"}, "unknown"),
        ("listens_to_everything", {}, "dynamic"),
        ("sets_handlers", {}, "dynamic"),
    )
    for workflow, over, expected in cases:
        run, handle = await opened(talk, client, "nobody", workflow, **over)
        response = await signal(as_("operator"), run, "hodl")
        assert (response.status_code, response.json()["handler"]) == (202, expected), workflow
        assert await count(handle, SIGNALED) == 1


async def test_an_open_run_also_accepts_a_newer_versions_handlers(talk: Api, as_: Any, client: Client) -> None:
    """A new version may be deployed precisely to add the handler that the run waits for."""
    name = f"w{uuid.uuid4().hex[:8]}"
    current, newest = factories.workflow(name, version="new")
    newest.handlers = {"signals": [{"name": "rescue", "input_schema": {"type": "array", "maxItems": 0}}]}
    old = WorkflowVersion(
        name=name,
        version="old",
        input_schema={},
        build="b0",
        handlers={"signals": [{"name": "stop", "input_schema": {}}]},
    )
    await factories.insert(talk.plane.engine, current, newest, old)
    run, _ = await opened(talk, client, "nobody", name, version="old")
    assert (await signal(as_("operator"), run, "rescue")).json()["handler"] == "declared"
    assert (await signal(as_("operator"), run, "stop")).json()["handler"] == "declared"
    wrong = await signal(as_("operator"), run, "resuce")
    assert "did you mean 'rescue'?" in wrong.json()["detail"]


# --- queries


async def test_a_query_is_answered_and_recorded_as_a_read(talk: Api, as_: Any, client: Client, queue: str) -> None:
    run, handle = await opened(talk, client, queue)
    before = await count(handle, SIGNALED)
    response = await ask(as_("auditor"), run, "total")
    assert (response.status_code, response.json()["result"]["value"]) == (200, 0)
    long = await ask(as_("operator"), run, "repeated", "x", 1_200_000)
    assert (long.status_code, long.json()["result"]["truncated"]) == (200, True)
    assert len(long.content) < 10_000
    stack = await ask(as_("operator"), run, "__stack_trace")
    assert stack.json()["result"]["value"].startswith("Stack for <Task")
    assert (await ask(as_("operator"), run, "__temporal_workflow_metadata")).status_code == 200
    assert await count(handle, SIGNALED) == before
    await talk.app.state.reads.flush()
    items = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id})).json()["items"]
    assert {(item["principal"], item["outcome"]) for item in items} == {("auditor", "read"), ("operator", "read")}
    commands_ = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert commands_ == []


async def test_a_query_that_fails_or_has_no_handler_says_why(talk: Api, as_: Any, client: Client, queue: str) -> None:
    run, _ = await opened(talk, client, queue)
    failed = await ask(as_("operator"), run, "broken")
    assert (failed.status_code, failed.json()["code"]) == (409, "query_failed")
    assert "can't say, of 0" in failed.json()["detail"]
    await talk.app.state.reads.flush()
    items = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id})).json()["items"]
    assert [item["outcome"] for item in items] == ["read"], "the message may quote payloads"
    unknown = await ask(as_("operator"), run, "totla")
    assert unknown.status_code == 422
    assert "did you mean 'total'?" in unknown.json()["detail"]
    assert (await ask(as_("operator"), run, "repeated", "x")).status_code == 422


async def test_a_query_without_a_live_worker_times_out_with_a_reason(talk: Api, as_: Any, client: Client) -> None:
    run, _ = await opened(talk, client, f"nobody-{uuid.uuid4().hex[:8]}")
    async with asyncio.timeout(15):
        response = await ask(as_("operator"), run, "total")
    assert (response.status_code, response.json()["code"], response.json().get("outcome_unknown")) == (
        503,
        "unavailable",
        None,
    )
    assert "no worker polls its task queue" in response.json()["detail"]


# --- who may


async def test_callers_without_the_permission_are_refused_and_recorded(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    for who in ("viewer", "reviewer", "admin", "nobody"):
        assert (await ask(as_(who), run, "total")).status_code == 403, who
        assert (await change(as_(who), run, "add", 1)).status_code == 403, who
    assert (await change(as_("auditor"), run, "add", 1)).status_code == 403, (
        "permission to read is not permission to change"
    )
    assert (await ask(as_("agent"), run, "total")).status_code == 200
    by_agent = await change(as_("agent"), run, "add", 1)
    assert by_agent.status_code == 200
    assert await count(handle, ACCEPTED) == 1
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert {(item["principal"], item["status"]) for item in audit} == {
        ("agent", "delivered"),
        *((who, "refused") for who in ("viewer", "reviewer", "admin", "nobody", "auditor")),
    }
    assert {item["what"] for item in audit} == {"add"}
    path = f"/api/v1/runs/{run.run_id}/updates/{by_agent.json()['command_id']}"
    assert [(await as_(who).get(path)).status_code for who in ("viewer", "auditor")] == [403, 200]
    await talk.app.state.reads.flush()
    body = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id, "principal": "viewer"})).json()
    assert {item["outcome"] for item in body["items"]} == {"refused"}


async def test_a_run_out_of_scope_does_not_exist_for_queries_and_updates(talk: Api, client: Client, queue: str) -> None:
    narrow = Principal(
        name="narrow",
        kind=PrincipalKind.AGENT,
        roles=frozenset({Role.OPERATOR}),
        workflows=frozenset({"other_*"}),
    )
    await principals.put(talk.plane.engine, SETUP, narrow)
    key = await api_keys.create(talk.plane.engine, SETUP, principal="narrow", lifetime=timedelta(days=1))
    talk.tokens["narrow"] = key.secret
    run, handle = await opened(talk, client, queue)
    command = await recorded(talk, run, PRINCIPALS["operator"])
    async with talk.client("narrow") as http:
        answers = [
            await ask(http, run, "total"),
            await change(http, run, "add", 1),
            await signal(http, run, "end"),
            await http.get(f"/api/v1/runs/{run.run_id}/updates/{command.command_id}"),
        ]
    assert [response.status_code for response in answers] == [404] * 4
    assert await count(handle, ACCEPTED) == 0


async def test_arguments_too_large_for_temporal_are_refused_before_they_are_sent(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue, "listens_to_everything")
    # Under the body limit but over Temporal's payload limit.
    huge = "x" * (2 * 1024 * 1024 - 2048)
    for send in (ask, change, signal):
        assert (await send(as_("operator"), run, "name", huge)).status_code == 413, send
    many = {"name": "name", "arguments": [1] * 21}
    assert (await as_("operator").post(f"/api/v1/runs/{run.run_id}/signal", json=many)).status_code == 422
    other = {"name": "other", "arguments": []}
    assert (await as_("operator").post(f"/api/v1/runs/{run.run_id}/updates/name", json=other)).status_code == 422
    updates = {"run": run.run_id, "kind": "run.update"}
    audit = (await as_("auditor").get("/api/v1/commands", params=updates)).json()["items"]
    assert [(item["status"], item["what"]) for item in audit] == [("refused", "name")] * 2
    assert (await count(handle, SIGNALED), await count(handle, ACCEPTED)) == (0, 0)


def test_requests_waiting_for_workers_are_limited_per_principal_and_in_total() -> None:
    waits = Waits(most=3, most_per_principal=2)
    with waits.one("a"), waits.one("a"):
        with pytest.raises(RateLimited), waits.one("a"):
            pass
        with waits.one("b"), pytest.raises(RateLimited), waits.one("c"):
            pass
        with waits.one("c"):
            pass
    with waits.one("a"):
        pass


def test_a_handlers_arguments_are_described_in_plain_text() -> None:
    assert handlers.described({"type": "array", "maxItems": 0}) == "no arguments"
    assert handlers.described({}) == "any arguments"
    assert handlers.described({"prefixItems": [{}], "minItems": 1}) == "1 argument: argument 1"
