"""Signals, queries and updates: checked against the handlers that the run's version declares, delivered once, with their outcome."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text, update
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.control import commands, delivery, handlers, keys, principals, updates, verbs
from agentgrid.control.plane import Caller
from agentgrid.control.waits import Waits
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Command, Run, WorkflowVersion
from agentgrid.domain.commands import CommandKind
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.domain.runs import Verb
from agentgrid.errors import RateLimited
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from agentgrid.worker import catalog
from tests.api import factories, talking
from tests.api.conftest import PRINCIPALS, SETUP, Api, eventually
from tests.conftest import Temporal

GRID = Grid("talking", talking)
VERSION = {each.spec.name: each.version for each in GRID.workflows}


@pytest.fixture(scope="module")
async def client(temporal_server: Temporal) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


@pytest.fixture(scope="module")
async def talk(api: Api, module_postgres_dsn: str) -> Api:
    """The API, with the workflows in its catalog as a worker registers them."""
    connection = await asyncpg.connect(module_postgres_dsn)
    try:
        document = catalog.document(GRID, "talking")
        await connection.execute("SELECT agentgrid_catalog($1::json)", json.dumps(document))
    finally:
        await connection.close()
    return api


def worker(client: Client, queue: str) -> Worker:
    return Worker(client, task_queue=queue, plugins=[Governance().plugin(GRID)])


@pytest.fixture(scope="module")
async def queue(client: Client) -> AsyncIterator[str]:
    """A task queue with a worker."""
    name = f"talking-{uuid.uuid4().hex[:8]}"
    async with worker(client, name):
        yield name


async def opened(
    api: Api, client: Client, queue: str, workflow: str = "talks", **over: Any
) -> tuple[Run, WorkflowHandle[Any, Any]]:
    """A run that is open in Temporal and in the projection."""
    workflow_id = str(uuid.uuid4())
    handle = await client.start_workflow(workflow, id=workflow_id, task_queue=queue)
    values = {"workflow": workflow, "version": VERSION.get(workflow), "task_queue": queue} | over
    run = factories.run(
        run_id=workflow_id,
        workflow_id=workflow_id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
        **values,
    )
    await factories.insert(api.plane.engine, run, factories.execution(run))
    return run, handle


async def signal(http: Any, run: Run, name: str, *arguments: Any) -> Any:
    return await http.post(f"/api/v1/runs/{run.run_id}/signal", json={"name": name, "arguments": list(arguments)})


async def ask(http: Any, run: Run, name: str, *arguments: Any) -> Any:
    return await http.post(f"/api/v1/runs/{run.run_id}/queries/{name}", json={"arguments": list(arguments)})


async def change(http: Any, run: Run, name: str, *arguments: Any, key: str | None = None, wait: float = 5) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/api/v1/runs/{run.run_id}/updates/{name}"
    return await http.post(path, json={"arguments": list(arguments)}, headers=headers, params={"wait": wait})


async def count(handle: WorkflowHandle[Any, Any], kind: EventType.ValueType) -> int:
    return sum([event.event_type == kind async for event in handle.fetch_history_events()])


SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED


# --- the catalog


async def test_the_catalog_lists_handlers_with_their_arguments_and_docstrings(talk: Api, as_: Any) -> None:
    found = (await as_("viewer").get("/api/v1/workflows/talks")).json()["handlers"]
    assert [each["name"] for each in found["signals"]] == ["end", "hold", "release", "renew"]
    assert [each["name"] for each in found["queries"]] == ["broken", "repeated", "total"]
    assert found["dynamic"] == []
    hold = found["signals"][1]
    assert hold["description"].startswith("Hold it back.")
    schema = hold["input_schema"]
    assert [(item["title"], item["type"]) for item in schema["prefixItems"]] == [("why", "string"), ("days", "integer")]
    assert (schema["minItems"], schema["maxItems"], hold["output_schema"]) == (1, 2, None)
    add = next(each for each in found["updates"] if each["name"] == "add")
    assert (add["description"], add["output_schema"]) == ("Add a number to the sum.", {"type": "integer"})
    everything = (await as_("viewer").get("/api/v1/workflows/listens_to_everything")).json()["handlers"]
    assert everything["dynamic"] == ["signal", "query", "update"]
    late = (await as_("viewer").get("/api/v1/workflows/sets_handlers")).json()["handlers"]
    assert late["dynamic"] == ["signal"], "it sets a handler while it runs"


async def test_handlers_that_a_version_lacked_are_filled_in_and_never_lost(talk: Api, module_postgres_dsn: str) -> None:
    """A worker of an earlier AgentGrid sends none; the same version is then registered with them, and again without."""
    name = f"w{uuid.uuid4().hex[:8]}"
    entry = {"name": name, "version": "1", "title": name, "tags": [], "input_schema": {}, "output_schema": None}
    told = {"signals": [{"name": "go", "input_schema": {}}]}
    connection = await asyncpg.connect(module_postgres_dsn)
    try:
        for handlers_, expected in ((None, None), (told, told), (None, told)):
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


async def test_a_mistyped_signal_is_refused_with_the_nearest_name_and_reaches_nobody(
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
        answer = await signal(as_("operator"), run, "hold", *arguments)
        assert answer.status_code == 422, arguments
        assert "takes 2 arguments: why, days (optional)" in answer.json()["detail"]
        assert answer.json()["faults"][0]["pointer"].startswith("/arguments")
    assert await count(handle, SIGNALED) == 0
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert [(each["kind"], each["status"], each["what"]) for each in audit[-1:]] == [("run.signal", "refused", "hodl")]
    assert len(audit) == 1 + len(misfits)
    right = await signal(as_("operator"), run, "hold", "why", 3)
    assert (right.status_code, right.json()["handler"]) == (202, "declared")
    assert await count(handle, SIGNALED) == 1


async def test_a_signal_passes_where_the_handlers_are_unknown_or_dynamic_and_the_answer_says_so(
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
        answer = await signal(as_("operator"), run, "hodl")
        assert (answer.status_code, answer.json()["handler"]) == (202, expected), workflow
        assert await count(handle, SIGNALED) == 1


async def test_an_open_run_takes_the_handlers_of_a_newer_version_too(talk: Api, as_: Any, client: Client) -> None:
    """A deploy may be the way to give it the handler that it waits for."""
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


async def test_a_query_is_answered_and_recorded_as_a_reading(talk: Api, as_: Any, client: Client, queue: str) -> None:
    run, handle = await opened(talk, client, queue)
    before = await count(handle, SIGNALED)
    answer = await ask(as_("auditor"), run, "total")
    assert (answer.status_code, answer.json()["result"]["value"]) == (200, 0)
    long = await ask(as_("operator"), run, "repeated", "x", 1_200_000)
    assert (long.status_code, long.json()["result"]["truncated"]) == (200, True)
    assert len(long.content) < 10_000
    stack = await ask(as_("operator"), run, "__stack_trace")
    assert stack.json()["result"]["value"].startswith("Stack for <Task")
    assert (await ask(as_("operator"), run, "__temporal_workflow_metadata")).status_code == 200
    assert await count(handle, SIGNALED) == before
    await talk.app.state.reads.flush()
    found = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id})).json()["items"]
    assert {(each["principal"], each["outcome"]) for each in found} == {("auditor", "read"), ("operator", "read")}
    commands_ = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert commands_ == []


async def test_a_query_that_fails_or_has_no_handler_says_why(talk: Api, as_: Any, client: Client, queue: str) -> None:
    run, _ = await opened(talk, client, queue)
    failed = await ask(as_("operator"), run, "broken")
    assert (failed.status_code, failed.json()["code"]) == (409, "query_failed")
    assert "can't say, of 0" in failed.json()["detail"]
    await talk.app.state.reads.flush()
    found = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id})).json()["items"]
    assert [each["outcome"] for each in found] == ["read"], "the message may quote payloads"
    unknown = await ask(as_("operator"), run, "totla")
    assert unknown.status_code == 422
    assert "did you mean 'total'?" in unknown.json()["detail"]
    assert (await ask(as_("operator"), run, "repeated", "x")).status_code == 422


async def test_a_query_whose_worker_is_down_ends_in_time_and_says_so(talk: Api, as_: Any, client: Client) -> None:
    run, _ = await opened(talk, client, f"nobody-{uuid.uuid4().hex[:8]}")
    async with asyncio.timeout(15):
        answer = await ask(as_("operator"), run, "total")
    assert (answer.status_code, answer.json()["code"], answer.json().get("outcome_unknown")) == (
        503,
        "unavailable",
        None,
    )
    assert "no worker polls its task queue" in answer.json()["detail"]


# --- updates


async def test_an_update_is_carried_out_once_and_its_outcome_is_told(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    first = await change(as_("operator"), run, "add", 3, key="k1")
    assert (first.status_code, first.json()["stage"], first.json()["handler"]) == (200, "completed", "declared")
    assert first.json()["result"]["value"] == 3
    again = await change(as_("operator"), run, "add", 3, key="k1")
    assert (again.status_code, again.json()["command_id"], again.json()["result"]["value"]) == (
        200,
        first.json()["command_id"],
        3,
    )
    other = await change(as_("operator"), run, "add", 4, key="k1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert await count(handle, ACCEPTED) == 1
    broken = await change(as_("operator"), run, "fail")
    assert (broken.status_code, broken.json()["stage"], broken.json()["result"]) == (200, "failed", None)
    assert "it broke in the middle" in broken.json()["error"]["message"]
    assert (await ask(as_("operator"), run, "total")).json()["result"]["value"] == 103


async def test_what_the_validator_rejects_changes_nothing_and_may_be_asked_again(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    refused = await change(as_("operator"), run, "add", -1, key="k2")
    assert (refused.status_code, refused.json()["code"]) == (409, "update_rejected")
    assert "-1 is negative" in refused.json()["detail"]
    assert (await change(as_("operator"), run, "add", -1, key="k2")).json()["code"] == "update_rejected"
    assert await count(handle, ACCEPTED) == 0
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert [(each["kind"], each["status"], each["what"]) for each in audit] == [("run.update", "refused", "add")] * 2
    known = await as_("auditor").get(f"/api/v1/runs/{run.run_id}/updates/{audit[0]['command_id']}")
    assert (known.status_code, known.json()["stage"], known.json()["error"]["type"]) == (
        200,
        "rejected",
        "update_rejected",
    )


async def test_an_update_whose_handler_waits_is_accepted_and_its_end_can_be_waited_for_later(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    async with asyncio.timeout(10):
        waiting = await change(as_("operator"), run, "add_slowly", 5, wait=0.2)
    assert (waiting.status_code, waiting.json()["stage"], waiting.json()["command_status"]) == (
        202,
        "accepted",
        "delivered",
    )
    place = f"/api/v1/runs/{run.run_id}/updates/{waiting.json()['command_id']}"
    later = asyncio.create_task(as_("auditor").get(place, params={"wait": 20}))
    await signal(as_("operator"), run, "release")
    ended = await later
    assert (ended.status_code, ended.json()["stage"], ended.json()["result"]["value"]) == (200, "completed", 5)
    await handle.signal("end")
    await handle.result()
    assert (await as_("auditor").get(place)).json()["result"]["value"] == 5, "also after the run has ended"


async def deliver_now(api: Api, command_id: str, **values: Any) -> Command:
    """One attempt of the background loop at this command, which is due."""
    async with writing(api.plane.engine) as session:
        # Nobody else takes it in between.
        later = {"next_attempt_at": text("now() + interval '1 hour'"), **values}
        await session.execute(update(Command).where(Command.command_id == command_id).values(**later))
    command = await commands.get(api.plane, command_id)
    await commands.redeliver(api.plane, command, delivery.DELIVERERS[CommandKind(command.kind)])
    return await commands.get(api.plane, command_id)


async def test_an_update_that_no_worker_takes_stays_pending_and_is_carried_out_once_when_one_comes(
    talk: Api, as_: Any, client: Client
) -> None:
    name = f"late-{uuid.uuid4().hex[:8]}"
    run, handle = await opened(talk, client, name)
    async with asyncio.timeout(15):
        answer = await change(as_("operator"), run, "add", 7, key="k3")
    problem = answer.json()
    assert (answer.status_code, problem["outcome_unknown"]) == (504, True)
    assert "no worker polls its task queue" in problem["detail"]
    pending = await as_("operator").get(f"/api/v1/runs/{run.run_id}/updates/{problem['command_id']}")
    assert (pending.status_code, pending.json()["stage"]) == (202, "pending")
    async with worker(client, name):

        async def ended() -> bool:
            found = await change(as_("operator"), run, "add", 7, key="k3")
            return found.status_code == 200 and found.json()["result"]["value"] == 7

        await eventually(ended)
        settled = await deliver_now(talk, problem["command_id"])
        assert settled.status == "delivered"
        assert await count(handle, ACCEPTED) == 1


async def recorded(api: Api, run: Run, who: Principal, **over: Any) -> Command:
    """The command of an update as a process leaves it that dies before it delivers."""
    caller = Caller(principal=who, key_id=api.tokens[who.name].split("_")[1], route=f"r-{uuid.uuid4().hex}", **over)
    body = {"name": "add", "arguments": [1], "handler": "declared"}
    found = await verbs.record(api.plane, caller, run.run_id, Verb.UPDATE, reason=None, body=body, target="add")
    return found.command


async def test_a_process_that_dies_between_command_and_delivery_loses_no_update(
    talk: Api, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    command = await recorded(talk, run, PRINCIPALS["operator"])
    for _ in range(2):  # the second attempt finds the first one's
        assert (await deliver_now(talk, command.command_id, status="pending")).status == "delivered"
    assert await count(handle, ACCEPTED) == 1


async def test_an_update_that_nobody_has_yet_is_not_sent_for_a_principal_who_was_disabled_meanwhile(
    talk: Api, client: Client, queue: str
) -> None:
    leaver = Principal(name="leaver", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR}))
    await principals.put(talk.plane.engine, SETUP, leaver)
    made = await keys.create(talk.plane.engine, SETUP, principal="leaver", lifetime=timedelta(days=1))
    talk.tokens["leaver"] = made.secret
    run, handle = await opened(talk, client, queue)
    command = await recorded(talk, run, leaver)
    async with writing(talk.plane.engine) as session:
        await session.execute(text("UPDATE principals SET disabled_at = now() WHERE name = 'leaver'"))
    settled = await deliver_now(talk, command.command_id)
    assert (settled.status, settled.outcome["code"]) == ("refused", "forbidden")
    assert await count(handle, ACCEPTED) == 0


async def test_an_update_that_no_worker_took_in_ten_minutes_is_given_up_and_keeps_its_key(
    talk: Api, as_: Any, client: Client
) -> None:
    run, _ = await opened(talk, client, f"nobody-{uuid.uuid4().hex[:8]}")
    command = await recorded(talk, run, PRINCIPALS["operator"], idempotency_key="k4", body={})
    settled = await deliver_now(talk, command.command_id, created_at=text("now() - interval '11 minutes'"))
    assert (settled.status, settled.outcome["code"]) == ("failed", "update_expired")
    assert settled.idempotency_key == "k4", (
        "a worker may have it after all, so the same request must not be a second update"
    )
    known = await as_("operator").get(f"/api/v1/runs/{run.run_id}/updates/{command.command_id}")
    assert (known.status_code, known.json()["stage"]) == (200, "expired")


async def test_an_update_follows_its_run_that_continued_as_new_but_not_one_that_took_it(
    talk: Api, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    taken = await recorded(talk, run, PRINCIPALS["operator"])
    assert (await deliver_now(talk, taken.command_id)).status == "delivered"
    fresh = await recorded(talk, run, PRINCIPALS["operator"])
    await handle.signal("renew")
    current = client.get_workflow_handle(run.workflow_id)

    async def renewed() -> bool:
        return (await current.describe()).run_id != run.execution_id

    await eventually(renewed)
    moved = await deliver_now(talk, fresh.command_id)
    assert (moved.status, moved.execution_id) == ("delivered", (await current.describe()).run_id)
    again = await deliver_now(talk, taken.command_id, status="pending")
    assert (again.status, again.execution_id) == ("delivered", run.execution_id)
    assert await current.query("total") == 1, "only the one that the first execution had not taken"


# --- who may


async def test_who_may_not_read_payloads_or_steer_is_refused_and_that_is_recorded(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    for who in ("viewer", "reviewer", "admin", "nobody"):
        assert (await ask(as_(who), run, "total")).status_code == 403, who
        assert (await change(as_(who), run, "add", 1)).status_code == 403, who
    assert (await change(as_("auditor"), run, "add", 1)).status_code == 403, "who reads may not change"
    assert (await ask(as_("agent"), run, "total")).status_code == 200
    by_agent = await change(as_("agent"), run, "add", 1)
    assert by_agent.status_code == 200
    assert await count(handle, ACCEPTED) == 1
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert {(each["principal"], each["status"]) for each in audit} == {
        ("agent", "delivered"),
        *((who, "refused") for who in ("viewer", "reviewer", "admin", "nobody", "auditor")),
    }
    place = f"/api/v1/runs/{run.run_id}/updates/{by_agent.json()['command_id']}"
    assert [(await as_(who).get(place)).status_code for who in ("viewer", "auditor")] == [403, 200]
    await talk.app.state.reads.flush()
    found = (await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id, "principal": "viewer"})).json()
    assert {each["outcome"] for each in found["items"]} == {"refused"}


async def test_a_run_out_of_scope_does_not_exist_for_queries_and_updates(talk: Api, client: Client, queue: str) -> None:
    narrow = Principal(
        name="narrow",
        kind=PrincipalKind.AGENT,
        roles=frozenset({Role.OPERATOR}),
        workflows=frozenset({"other_*"}),
    )
    await principals.put(talk.plane.engine, SETUP, narrow)
    made = await keys.create(talk.plane.engine, SETUP, principal="narrow", lifetime=timedelta(days=1))
    talk.tokens["narrow"] = made.secret
    run, handle = await opened(talk, client, queue)
    command = await recorded(talk, run, PRINCIPALS["operator"])
    async with talk.client("narrow") as http:
        answers = [
            await ask(http, run, "total"),
            await change(http, run, "add", 1),
            await signal(http, run, "end"),
            await http.get(f"/api/v1/runs/{run.run_id}/updates/{command.command_id}"),
        ]
    assert [answer.status_code for answer in answers] == [404] * 4
    assert await count(handle, ACCEPTED) == 0


async def test_arguments_too_large_for_temporal_are_refused_before_they_are_sent(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue, "listens_to_everything")
    # Under the limit of the body, over that of Temporal's payloads.
    huge = "x" * (2 * 1024 * 1024 - 2048)
    for send in (ask, change, signal):
        assert (await send(as_("operator"), run, "name", huge)).status_code == 413, send
    deep = {"name": "name", "arguments": [1] * 21}
    assert (await as_("operator").post(f"/api/v1/runs/{run.run_id}/signal", json=deep)).status_code == 422
    assert (await count(handle, SIGNALED), await count(handle, ACCEPTED)) == (0, 0)


def test_requests_that_wait_for_workers_are_bounded_for_each_principal_and_in_all() -> None:
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


async def test_an_update_waits_beside_the_other_commands_that_are_due(talk: Api, as_: Any, client: Client) -> None:
    """Updates whose workers are down must not delay a start or a decision."""
    run, _ = await opened(talk, client, f"nobody-{uuid.uuid4().hex[:8]}")
    command = await recorded(talk, run, PRINCIPALS["operator"])
    async with writing(talk.plane.engine) as session:
        due = update(Command).where(Command.command_id == command.command_id).values(next_attempt_at=text("now()"))
        await session.execute(due)
    beside: set[asyncio.Task[None]] = set()
    async with asyncio.timeout(updates.LATE_ACCEPT_SECONDS / 2):
        await delivery.deliver_due(talk.plane, beside)
    await asyncio.gather(*beside)
    assert (await commands.get(talk.plane, command.command_id)).status == "pending"


def test_a_handlers_arguments_are_described_in_words() -> None:
    assert handlers.described({"type": "array", "maxItems": 0}) == "no arguments"
    assert handlers.described({}) == "any arguments"
    assert handlers.described({"prefixItems": [{}], "minItems": 1}) == "1 argument: argument 1"
