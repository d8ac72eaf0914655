"""R44, R22: apart from bare facts, event streams carry only what their readers may also read elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from agentgrid.control import api_keys, principals
from agentgrid.db.tables import Log, Run
from agentgrid.domain.live import EventKind
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api, api, as_, eventually, listening  # noqa: F401 (fixtures)
from tests.api.streaming import ReceivedEvents, stream

V1 = "/api/v1"
SECRET = "canary-in-a-summary"
ERROR = {"type": "ValueError", "message": SECRET, "retryable": False, "stack": SECRET, "cause": {"message": SECRET}}


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:  # noqa: F811
    async with listening(api.app) as url:
        yield url


async def person(api: Api, name: str, *roles: Role, scope: str = "*") -> str:  # noqa: F811
    """The key of a new principal."""
    made = Principal(name=name, kind=PrincipalKind.HUMAN, roles=frozenset(roles), workflows=frozenset({scope}))
    await principals.put(api.plane.engine, SETUP, made)
    return (await api_keys.create(api.plane.engine, SETUP, principal=name, lifetime=timedelta(days=1))).secret


async def telling(api: Api, workflow: str) -> Run:  # noqa: F811
    """A run that quotes a payload in every text of its summaries, with one event of each kind."""
    run = factories.run(
        workflow=workflow,
        status="waiting",
        waiting_on="approval",
        status_reason=SECRET,
        current_step=SECRET,
        current_kind="approval",
        error_type=f"{SECRET}!",
    )
    failed = factories.step(run, 5, status="failed", error=ERROR, live_error=ERROR, input={"value": SECRET})
    approval = factories.approval(run, kind="explicit", tool=None, title=SECRET, payload={"value": SECRET})
    asks = factories.step(run, 7, kind="approval", title=SECRET, approval_id=approval.approval_id)
    await factories.insert(api.plane.engine, run, factories.execution(run), failed, asks, approval)
    for step in (failed, asks):
        summary = {"title": step.title, "status": step.status}
        await factories.publish(api.plane.engine, (run.run_id, "step", summary), subject=factories.subject(step))
    await factories.publish(api.plane.engine, (run.run_id, "approval", {"title": SECRET}), subject=approval.approval_id)
    await factories.publish(api.plane.engine, (run.run_id, "run", {"current_step": SECRET}))
    return run


async def asking(api: Api) -> Run:  # noqa: F811
    """A run that waits for approval of a tool call whose title quotes an argument, with one event of each kind about it."""
    waits = {"current_step": "Refund ticket", "current_kind": "tool", "asked": f"Refund {SECRET}"}
    run = factories.run(status="waiting", waiting_on="approval", **waits)
    approval = factories.approval(run, title="Refund ticket", asked=f"Refund {SECRET}")
    asks = factories.step(run, 5, status="waiting", title="Refund ticket", approval_id=approval.approval_id)
    await factories.insert(api.plane.engine, run, factories.execution(run), asks, approval)
    await factories.publish(
        api.plane.engine, (run.run_id, "step", {"status": "waiting"}), subject=factories.subject(asks)
    )
    await factories.publish(api.plane.engine, (run.run_id, "approval", {"title": "x"}), subject=approval.approval_id)
    await factories.publish(api.plane.engine, (run.run_id, "run", waits), (run.run_id, "run", {"status": "waiting"}))
    return run


async def written(api: Api, run: Run) -> None:  # noqa: F811
    """Write two log lines."""
    about = {"execution_id": run.execution_id, "workflow_id": run.workflow_id, "level": "info", "logger": "x"}
    lines = [
        Log(message=SECRET, worker="w", task_queue=run.task_queue, logged_at=datetime.now(UTC), **about)
        for _ in range(2)
    ]
    await factories.insert(api.plane.engine, *lines)


@pytest.mark.parametrize("who", ["viewer", "admin", "reviewer"])
async def test_r44_summaries_quote_payloads_only_to_those_who_may_read_them(
    api: Api,  # noqa: F811
    url: str,
    who: str,
) -> None:
    def complete(heard: ReceivedEvents) -> bool:
        return len(heard.of("step")) == 2 and bool(heard.of("approval") and heard.of("run"))

    async with stream(api, url, who, kinds=list(EventKind), run="x") as blind, stream(api, url, "operator") as reader:
        async with stream(api, url, who) as plain:
            run = await telling(api, "quotes")
            await written(api, run)
            for heard in (plain, reader):
                await heard.until(complete)
        await blind.until(lambda heard: heard.of("approval") and heard.of("run"))
        own = f"{V1}/runs/{run.run_id}/events"
        async with stream(api, url, who, own) as third:
            await third.until(complete)
    leaks = [event.data for heard in (blind, plain, third) for event in heard.events if SECRET in event.data]
    assert not leaks
    assert set(blind.events[0].json()["data"]["kinds"]) == set(EventKind) - {EventKind.LOG, EventKind.DELTA}
    # Otherwise this test would prove nothing.
    quoted = [event.event for event in reader.events if SECRET in event.data]
    assert sorted(quoted) == ["approval", "run", "step", "step"]
    assert [heard.of("approval")[0]["data"]["title"] for heard in (reader, plain)] == [SECRET, "An approval"]
    assert [event["data"]["error"]["type"] for event in plain.of("step") if event["data"]["error"]] == ["ValueError"]
    # Even readers of payloads can't get whole ones from a stream.
    whole = {name for event in reader.of("step") for name in event["data"]}
    assert not whole & {"input", "output", "original_input"}
    assert not any((event["data"]["error"] or {}).get("stack") for event in reader.of("step"))


@pytest.mark.parametrize("who", ["viewer", "admin", "reviewer"])
async def test_r44_the_text_of_a_tools_approval_is_streamed_only_to_those_who_may_read_payloads(
    api: Api,  # noqa: F811
    url: str,
    who: str,
) -> None:
    async with stream(api, url, who) as plain, stream(api, url, "operator") as reader:
        run = await asking(api)
        async with stream(api, url, who, f"{V1}/runs/{run.run_id}/events") as third:
            for heard in (plain, reader, third):
                await heard.until(lambda heard: len(heard.of("run")) == 2)
    assert not [event.data for heard in (plain, third) for event in heard.events if SECRET in event.data]
    assert [event["data"]["current_step"] for event in plain.of("run")] == ["Refund ticket"] * 2
    assert [event["data"]["current_step"] for event in reader.of("run")] == [f"Refund {SECRET}"] * 2
    assert [heard.of("approval")[0]["data"]["title"] for heard in (reader, plain)] == [
        f"Refund {SECRET}",
        "Refund ticket",
    ]


async def test_r41_a_stream_that_may_quote_payloads_is_recorded_as_a_read(api: Api, as_: Any, url: str) -> None:  # noqa: F811
    async with stream(api, url, "developer"), stream(api, url, "viewer"):
        await api.app.state.reads.flush()
    async with stream(api, url, "developer", kinds=["end", "policy"]):
        await api.app.state.reads.flush()
    for who, count in (("developer", 1), ("viewer", 0)):
        answer = await as_("auditor").get(f"{V1}/reads", params={"principal": who})
        reads = [item for item in answer.json()["items"] if item["route"] == f"GET {V1}/events"]
        assert sum(item["count"] for item in reads) == count, who


async def test_r22_nothing_of_a_run_out_of_scope_is_streamed(api: Api, as_: Any, url: str) -> None:  # noqa: F811
    key = await person(api, "inside", Role.OPERATOR, Role.AUDITOR, scope="in_*")
    out = await telling(api, "out_of_it")
    within = await telling(api, "in_it")
    feed = api.app.state.feed
    async with stream(api, url, key, kinds=list(EventKind), run=[out.run_id, within.run_id]) as heard:
        assert set(feed.deltas._watches) == {within.run_id}
        await eventually(lambda: _is(feed.hints._ends))
        for run in (out, within):
            await written(api, run)
            await factories.publish(api.plane.engine, (run.run_id, "run", {}))
            assert (await as_("viewer").post(f"{V1}/runs/{run.run_id}/cancel")).status_code == 403
            assert (await as_("viewer").post(f"{V1}/workflows/{run.workflow}/runs", json={})).status_code == 403
        await heard.until(lambda heard: len(heard.of("command")) == 2 and heard.of("log") and heard.of("run"))
        about = {event["run_id"] or event["data"]["target"] for event in heard.of("command", "log", "run")}
        assert about == {within.run_id, "in_it"}
        assert out.run_id not in "".join(event.data for event in heard.events)
    # An open stream follows changes of its caller's scope.
    async with stream(api, url, key, kinds=["run", "log", "command"]) as heard:
        gone = Principal(
            name="inside", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR}), workflows=frozenset({"none"})
        )
        await principals.put(api.plane.engine, SETUP, gone)
        await factories.publish(api.plane.engine, (within.run_id, "run", {}))
        async with stream(api, url, "operator", last=int(heard.events[0].id)) as other:
            await other.until(lambda other: other.of("run"))
        assert len(heard.events) == 1


async def test_r22_commands_are_streamed_only_to_those_who_may_list_them(api: Api, as_: Any, url: str) -> None:  # noqa: F811
    run = await telling(api, "commanded")
    await person(api, "chief", Role.ADMIN)
    names = ("operator", "viewer", "developer", "auditor", "admin")
    streams: dict[str, ReceivedEvents] = {}

    async def hearers(command_id: str) -> set[str]:
        await streams["auditor"].until(lambda heard: command_id in _commands(heard))
        return {name for name, heard in streams.items() if command_id in _commands(heard)}

    async with (
        stream(api, url, "operator", kinds="command") as streams["operator"],
        stream(api, url, "viewer", kinds="command") as streams["viewer"],
        stream(api, url, "developer", kinds="command") as streams["developer"],
        stream(api, url, "admin", kinds="command") as streams["admin"],
        # The last one to be woken.
        stream(api, url, "auditor", kinds="command") as streams["auditor"],
    ):
        assert set(streams) == set(names)
        refused = await as_("operator").post(f"{V1}/runs/{run.run_id}/signal", json={"name": f"__{SECRET}"})
        command_id = refused.json()["command_id"]
        assert await hearers(command_id) == {"operator", "auditor"}
        # Proposals are for administrators.
        proposed = await as_("admin").put(
            f"{V1}/principals/proposed", json={"kind": "human", "roles": ["approver"], "groups": [], "workflows": ["*"]}
        )
        assert proposed.status_code == 202, proposed.text
        assert await hearers(proposed.json()["command_id"]) == {"admin", "auditor"}


def _commands(heard: ReceivedEvents) -> set[str]:
    return {event["subject"] for event in heard.of("command")}


async def test_r22_an_agent_that_may_audit_is_streamed_no_approvals_of_others(api: Api, url: str) -> None:  # noqa: F811
    async with stream(api, url, "agent", kinds=["approval", "run"]) as heard:
        await telling(api, "of_others")
        await heard.until(lambda heard: heard.of("run"))
        assert heard.of("approval") == []


async def test_r44_a_runs_subject_is_streamed_only_to_those_who_may_read_payloads(
    api: Api,  # noqa: F811
    url: str,
) -> None:
    async with stream(api, url, "viewer", kinds="run") as plain, stream(api, url, "operator", kinds="run") as reader:
        run = factories.run(subject=SECRET)
        await factories.insert(api.plane.engine, run, factories.execution(run))
        await factories.publish(api.plane.engine, (run.run_id, "run", {"asked": None}))
        for heard in (plain, reader):
            await heard.until(lambda heard: heard.of("run"))
    assert [heard.of("run")[0]["data"]["subject"] for heard in (plain, reader)] == [None, SECRET]


async def test_a_command_is_streamed_only_once_committed_and_no_worker_can_hold_the_lock(
    api: Api,  # noqa: F811
    module_postgres_dsn: str,
) -> None:
    admin = await asyncpg.connect(module_postgres_dsn)
    try:
        before = await admin.fetchval("SELECT coalesce(max(event_id), 0) FROM events")
        taken_back = admin.transaction()
        await taken_back.start()
        await admin.execute("UPDATE commands SET status = 'failed'")
        await taken_back.rollback()
        assert await admin.fetchval("SELECT count(*) FROM events WHERE event_id > $1", before) == 0
        # A login that may write to a table with such a trigger can hold the lock that every start waits for.
        triggered = await admin.fetch(
            "SELECT tgrelid::regclass::text AS name FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid "
            "WHERE p.proname = 'agentgrid_tell'"
        )
        assert {row["name"] for row in triggered} == {"commands", "policy_snapshots"}
        for row in triggered:
            for role in ("agentgrid_worker", "agentgrid_reports"):
                for privilege in ("INSERT", "UPDATE"):
                    held = await admin.fetchval("SELECT has_table_privilege($1, $2, $3)", role, row["name"], privilege)
                    assert held is False, (role, row["name"])
    finally:
        await admin.close()


async def _is(value: object) -> object:
    return value
