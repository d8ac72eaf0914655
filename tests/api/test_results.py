"""Waiting for a result: returns when the run ends, is bounded, and ends when the caller loses access."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
import uvicorn
from sqlalchemy import text, update

from agentgrid.api import run_waits
from agentgrid.api.app import create_app
from agentgrid.api.run_waits import Waiting
from agentgrid.cli.serving import options
from agentgrid.control import api_keys, principals
from agentgrid.db import runs
from agentgrid.db.session import writing
from agentgrid.db.tables import Run
from agentgrid.domain import channels
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api import factories
from tests.api.conftest import SETUP, Api, _Server, eventually, listening

ERROR = {"type": "CardDeclined", "message": "card 4111 declined", "retryable": False, "stack": "line 7"}


@pytest.fixture
def waiting(api: Api) -> Waiting:
    return api.app.state.waiting


@pytest.fixture(scope="module")
async def url(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as url:
        yield url


async def a_run(api: Api, **over) -> Run:
    run = factories.run(**over)
    await factories.insert(api.plane.engine, run)
    return run


async def end(api: Api, *ending: Run, status: str = "completed", **values) -> None:
    values = {"status": status, "result": {"size": 2, "value": 42}, **values}
    await factories.publish(
        api.plane.engine,
        *((run.run_id, "end", {"status": status}) for run in ending),
        first=update(Run).where(Run.run_id.in_([run.run_id for run in ending])).values(**values),
    )


async def waits(waiting: Waiting, number: int = 1) -> None:
    async def all_wait() -> bool:
        return waiting.count == number

    await eventually(all_wait)


def get_result(client: httpx.AsyncClient, run: Run, seconds: float = 30) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(client.get(f"/api/v1/runs/{run.run_id}/result", params={"wait": seconds}))


async def test_a_wait_can_also_end_when_the_run_waits_for_an_approval(api: Api, as_, waiting: Waiting):
    run = await a_run(api)
    patient = get_result(as_("operator"), run)
    params = {"wait": 30, "or_approval": True}
    hasty = asyncio.create_task(as_("operator").get(f"/api/v1/runs/{run.run_id}/result", params=params))
    await waits(waiting, 2)
    gated = {"status": "waiting", "waiting_on": "approval"}
    await factories.publish(
        api.plane.engine,
        (run.run_id, "run", gated),
        first=update(Run).where(Run.run_id == run.run_id).values(**gated),
    )
    async with asyncio.timeout(5):
        response = await hasty
    assert (response.status_code, response.json()["waiting_on"], patient.done()) == (202, "approval", False)
    await end(api, run)
    assert (await patient).status_code == 200


async def test_waiting_requests_return_when_the_run_ends_each_with_what_it_may_read(api: Api, as_, waiting: Waiting):
    run = await a_run(api)
    tasks = [get_result(as_(name), run) for name in ("operator", "viewer")]
    await waits(waiting, 2)
    begun = time.monotonic()
    values = {"result": None, "error": ERROR, "error_type": "CardDeclined", "status_reason": ERROR["message"]}
    await end(api, run, status="failed", **values)
    operator, viewer = [await task for task in tasks]
    assert time.monotonic() - begun < 1.5
    assert (operator.status_code, viewer.status_code, waiting.count) == (200, 200, 0)
    result = operator.json()
    assert (result["open"], result["status"], result["error_type"]) == (False, "failed", "CardDeclined")
    assert (result["error"]["message"], result["error"]["stack"]) == ("card 4111 declined", "line 7")
    blind = viewer.json()
    assert (blind["status"], blind["error_type"], blind["payloads_visible"]) == ("failed", "CardDeclined", False)
    assert (blind["error"]["type"], blind["error"]["message"], blind["error"]["stack"]) == ("CardDeclined", None, None)
    assert "4111" not in viewer.text
    await api.app.state.reads.flush()
    page = await as_("auditor").get("/api/v1/reads", params={"subject": run.run_id})
    assert [(item["principal"], item["outcome"]) for item in page.json()["items"]] == [("operator", "read")]


async def test_an_ended_run_is_returned_at_once_and_an_open_one_after_the_wait(api: Api, as_):
    closed, still = await a_run(api, status="completed", result={"size": 2, "value": 42}), await a_run(api)
    begun = time.monotonic()
    response = await get_result(as_("operator"), closed)
    assert (response.status_code, response.json()["result"]["value"]) == (200, 42)
    for seconds in (0, 0.2):
        response = await get_result(as_("viewer"), still, seconds)
        assert (response.status_code, response.json()["open"], response.json()["status"]) == (202, True, "running")
        assert "result" not in response.json()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("seconds", ["61", "-1", "nan", "inf", "soon"])
async def test_a_wait_is_bounded(api: Api, as_, seconds: str):
    run = await a_run(api)
    response = await as_("operator").get(f"/api/v1/runs/{run.run_id}/result", params={"wait": seconds})
    assert (response.status_code, response.json()["faults"][0]["pointer"]) == (422, "wait")


async def test_a_wait_continues_for_a_run_that_was_reset_after_its_end(api: Api, as_, waiting: Waiting):
    run = await a_run(api)
    task = get_result(as_("operator"), run)
    await waits(waiting)
    await factories.publish(api.plane.engine, (run.run_id, "end", {"status": "failed"}))
    await end(api, run)
    assert (await task).json()["status"] == "completed"


async def test_an_end_without_an_event_is_noticed(api: Api, as_, waiting: Waiting, monkeypatch):
    monkeypatch.setattr(run_waits, "RECHECK_SECONDS", 0.2)
    run = await a_run(api)
    task = get_result(as_("operator"), run)
    await waits(waiting)
    async with writing(api.plane.engine) as session:
        await session.execute(text("UPDATE runs SET status = 'terminated' WHERE run_id = :id"), {"id": run.run_id})
    assert (await task).json()["status"] == "terminated"


WAITER = Principal(name="waiter", kind=PrincipalKind.SERVICE, roles=frozenset({Role.OPERATOR}))
LOSSES = {
    "the role": (replace(WAITER, roles=frozenset()), 403),
    "the scope": (replace(WAITER, workflows=frozenset({"others_*"})), 404),
}


@pytest.fixture
async def key(api: Api) -> api_keys.NewKey:
    await principals.put(api.plane.engine, SETUP, WAITER)
    return await api_keys.create(api.plane.engine, SETUP, principal=WAITER.name)


def holding(api: Api, key: api_keys.NewKey) -> httpx.AsyncClient:
    return Api(api.app, api.settings, {WAITER.name: key.secret}).client(WAITER.name)


async def test_a_revoked_key_ends_the_wait_at_once(api: Api, waiting: Waiting, key: api_keys.NewKey):
    run = await a_run(api)
    async with holding(api, key) as client:
        task = get_result(client, run)
        await waits(waiting)
        await api_keys.revoke(api.plane.engine, SETUP, key.key_id)
        response = await asyncio.wait_for(task, 5)
    assert (response.status_code, response.json()["code"], waiting.count) == (401, "unauthenticated", 0)


async def test_spurious_notifications_wake_waiting_requests_at_most_once_a_second(
    api: Api, as_, waiting: Waiting, monkeypatch
):
    woken = 0
    holder = api_keys.holder

    async def counted(*given):
        nonlocal woken
        woken += 1
        return await holder(*given)

    monkeypatch.setattr(api_keys, "holder", counted)
    run = await a_run(api)
    task = get_result(as_("viewer"), run)
    await waits(waiting)
    begun = time.monotonic()
    for _ in range(50):
        # Any login may notify, even a worker's.
        async with api.plane.pool.acquire() as connection:
            await connection.execute(f"NOTIFY {channels.ACCESS}")
    seen = api.app.state.feed

    async def notified() -> bool:
        return seen.access_changes >= 50

    await eventually(notified)
    await end(api, run)
    assert (await task).status_code == 200
    assert woken <= 3 + (time.monotonic() - begun)


@pytest.mark.parametrize(("after", "status"), LOSSES.values(), ids=LOSSES.keys())
async def test_a_lost_permission_ends_the_wait_at_once(
    api: Api, waiting: Waiting, key: api_keys.NewKey, after: Principal, status: int
):
    run = await a_run(api)
    async with holding(api, key) as client:
        task = get_result(client, run)
        await waits(waiting)
        await principals.put(api.plane.engine, SETUP, after)
        assert (await asyncio.wait_for(task, 5)).status_code == status


async def test_a_caller_who_lost_the_permission_to_read_payloads_gets_none(
    api: Api, waiting: Waiting, key: api_keys.NewKey
):
    run = await a_run(api)
    async with holding(api, key) as client:
        task = get_result(client, run)
        await waits(waiting)
        await principals.put(api.plane.engine, SETUP, replace(WAITER, roles=frozenset({Role.VIEWER})))
        await end(api, run)
        response = await task
    assert (response.status_code, response.json()["status"], response.json()["result"]) == (200, "completed", None)


async def test_a_run_outside_the_scope_cannot_be_waited_for(api: Api, waiting: Waiting, key: api_keys.NewKey):
    await principals.put(api.plane.engine, SETUP, replace(WAITER, workflows=frozenset({"others_*"})))
    run = await a_run(api)
    async with holding(api, key) as client:
        for run_id in (run.run_id, "no-such-run"):
            response = await client.get(f"/api/v1/runs/{run_id}/result", params={"wait": 30})
            assert (response.status_code, response.json()["detail"]) == (404, f"there is no run {run_id!r}")
    assert waiting.count == 0


async def test_waiting_requests_are_limited_per_principal_and_in_total(api: Api, as_, waiting: Waiting, monkeypatch):
    monkeypatch.setattr(run_waits, "MAX_PER_PRINCIPAL", 2)
    monkeypatch.setattr(waiting, "_capacity", 3)
    run, closed = await a_run(api), await a_run(api, status="completed")
    tasks = [get_result(as_(name), run) for name in ("operator", "operator", "viewer")]
    await waits(waiting, 3)
    for name, status in (("operator", 429), ("developer", 503)):
        response = await get_result(as_(name), run)
        assert (response.status_code, response.headers["retry-after"]) == (status, "5")
        # Requests that don't need to wait still get a response.
        assert (await get_result(as_(name), closed)).status_code == 200
        assert (await get_result(as_(name), run, 0)).status_code == 202
    await end(api, run)
    assert {(await task).status_code for task in tasks} == {200}
    assert waiting.count == 0


async def test_a_client_that_disconnects_frees_its_slot(api: Api, url: str, waiting: Waiting):
    run = await a_run(api)
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {api.tokens['viewer']}"}, timeout=20
    ) as client:
        task = get_result(client, run)
        await waits(waiting)
        task.cancel()
        await waits(waiting, 0)


WAITERS = 250


async def test_many_waiting_requests_cost_no_queries_until_their_runs_end(api: Api, as_, waiting: Waiting, monkeypatch):
    monkeypatch.setattr(run_waits, "MAX_PER_PRINCIPAL", WAITERS)
    monkeypatch.setattr(waiting, "_capacity", WAITERS)
    # However long this machine takes to start them.
    monkeypatch.setattr(run_waits, "RECHECK_SECONDS", 60.0)
    reads = 0
    read = runs.result_of

    async def counted(*given, **named):
        nonlocal reads
        reads += 1
        return await read(*given, **named)

    monkeypatch.setattr(runs, "result_of", counted)
    waited = [factories.run() for _ in range(WAITERS)]
    await factories.insert(api.plane.engine, *waited)
    transport = httpx.ASGITransport(app=api.app)
    headers = {"Authorization": f"Bearer {api.tokens['viewer']}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60, limits=limits
    ) as client:
        tasks: list[asyncio.Task[httpx.Response]] = []
        for first in range(0, WAITERS, 50):
            # Authenticating all callers at once is not what is measured.
            tasks += [get_result(client, run, 60) for run in waited[first : first + 50]]
            await waits(waiting, first + 50)

        async def all_looked() -> bool:
            return reads >= 2 * WAITERS

        async def at_rest() -> bool:
            seen = reads
            await asyncio.sleep(0.5)
            return reads == seen

        await eventually(all_looked)
        # Requests waiting when the listener connects check once more: the first batch and, on a slow machine, the second.
        await eventually(at_rest)
        before = reads
        assert before <= 2.4 * WAITERS
        await end(api, waited[0])
        assert (await tasks[0]).status_code == 200
        assert reads == before + 1
        await end(api, *waited[1:])
        assert {response.status_code for response in await asyncio.gather(*tasks)} == {200}
    assert (reads, waiting.count) == (before + WAITERS, 0)


async def test_a_shutdown_answers_every_waiting_request_at_once(api: Api):
    app = create_app(api.settings)
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=0, **options(max_connections=10)))
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    base = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    run = await a_run(api)
    async with httpx.AsyncClient(
        base_url=base, headers={"Authorization": f"Bearer {api.tokens['viewer']}"}, timeout=20
    ) as client:
        task = get_result(client, run)
        await waits(app.state.waiting)
        begun = time.monotonic()
        server.should_exit = True
        response = await task
        assert (response.status_code, response.json()["open"]) == (202, True)
        await serving
        assert time.monotonic() - begun < 2
