"""Temporal unreachable, frozen and back; the database unreachable. Nothing acknowledged is lost, and nothing uncertain is claimed."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio.api.enums.v1 import EventType

from agentgrid.control import delivery
from agentgrid.db import commands
from agentgrid.db.session import reading
from agentgrid.temporal.client import connect
from tests.api import factories
from tests.api.conftest import Api, Proxy, eventually, make_tokens, running, settings_for
from tests.conftest import Peopled, Temporal


@pytest.fixture(scope="module")
async def proxy(temporal_server: Temporal) -> AsyncIterator[Proxy]:
    proxy = Proxy(temporal_server.address)
    yield proxy
    await proxy.close()


@pytest.fixture(scope="module")
async def api(peopled: Peopled, module_postgres_dsn: str, proxy: Proxy, tmp_path_factory) -> AsyncIterator[Api]:
    """An API whose Temporal is unreachable at startup."""
    settings = settings_for(module_postgres_dsn, proxy.address, tmp_path_factory.mktemp("api"))
    async with running(settings, dict(peopled.tokens)) as api:
        await factories.insert(api.plane.engine, *factories.workflow("away"))
        yield api


@pytest.fixture
async def there(proxy: Proxy) -> AsyncIterator[Proxy]:
    await proxy.open()
    yield proxy
    proxy.thaw()
    await proxy.close()


async def command(client, command_id):
    return (await client.get(f"/api/v1/commands/{command_id}")).json()


async def settled(client, command_id, status):
    async def check():
        return (await command(client, command_id))["status"] == status

    await eventually(check)


async def test_a_start_is_accepted_while_temporal_is_away_and_delivered_once_it_is_back(api: Api, as_, proxy: Proxy):
    begun = time.monotonic()
    response = await as_("operator").post("/api/v1/workflows/away/runs", json={"input": 1})
    assert time.monotonic() - begun < 5
    assert (response.status_code, response.json()["status"]) == (201, "queued")
    pending = response.json()["command"]
    assert (pending["status"], pending["outcome"]["code"]) == ("pending", "unavailable")

    ready = await as_(None).get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert (await as_("viewer").get(f"/api/v1/runs/{response.json()['run_id']}")).status_code == 200

    await proxy.open()
    try:
        await settled(as_("operator"), pending["command_id"], "delivered")
        run_id = response.json()["run_id"]
        assert (await api.plane.temporal.get_workflow_handle(run_id).describe()).workflow_type == "away"
    finally:
        await proxy.close()


async def test_a_verb_that_was_definitely_not_sent_fails_with_retry_after(api: Api, as_):
    run = factories.run()
    await factories.insert(api.plane.engine, run, factories.execution(run))
    headers = {"Idempotency-Key": "cancel-1"}

    begun = time.monotonic()
    response = await as_("operator").post(f"/api/v1/runs/{run.run_id}/cancel", headers=headers)

    assert time.monotonic() - begun < 8
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert "outcome_unknown" not in response.json()
    failed = await command(as_("operator"), response.json()["command_id"])
    assert failed["status"] == "failed"
    # The idempotency key is free again: the same request can be retried.
    again = await as_("operator").post(f"/api/v1/runs/{run.run_id}/cancel", headers=headers)
    assert again.json()["command_id"] != response.json()["command_id"]


async def test_while_temporal_is_away_workers_and_queues_are_unavailable_but_catalogs_are_shown(as_):
    assert (await as_("viewer").get("/api/v1/workers")).status_code == 503
    listed = await as_("viewer").get("/api/v1/workflows/away")
    assert (listed.status_code, listed.json()["served"]) == (200, None)


async def test_with_temporal_frozen_the_outcome_is_unknown_and_the_command_is_retried(
    api: Api, as_, there: Proxy, temporal_server: Temporal
):
    direct = await connect(api.settings.model_copy(update={"temporal_address": temporal_server.address}))
    workflow_id = str(uuid.uuid4())
    handle = await direct.start_workflow("away", id=workflow_id, task_queue="nobody")
    run = factories.run(
        run_id=workflow_id,
        first_execution_id=handle.first_execution_run_id,
        execution_id=handle.first_execution_run_id,
    )
    await factories.insert(api.plane.engine, run, factories.execution(run))
    warm = await as_("operator").post(f"/api/v1/runs/{run.run_id}/signal", json={"name": "warm"})
    assert warm.status_code == 202

    there.freeze()
    begun = time.monotonic()
    response = await as_("operator").post(f"/api/v1/runs/{run.run_id}/signal", json={"name": "nudge"})

    assert time.monotonic() - begun < 6
    assert (response.status_code, response.json()["outcome_unknown"]) == (504, True)
    open_command = await command(as_("operator"), response.json()["command_id"])
    assert open_command["status"] == "pending"

    there.thaw()
    await settled(as_("operator"), open_command["command_id"], "delivered")
    names = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    ]
    assert names == ["warm", "nudge"]  # sent at least twice, accepted once


async def test_a_start_delivered_twice_starts_once_and_a_foreign_run_is_not_mistaken_for_it(
    api: Api, as_, there: Proxy
):
    response = await as_("operator").post("/api/v1/workflows/away/runs", json={"input": 1})
    run_id = response.json()["run_id"]
    async with reading(api.plane.engine) as session:
        start = await commands.get(session, response.json()["command_id"])
    first = await delivery.DELIVERERS["run.start"](api.plane, start)
    second = await delivery.DELIVERERS["run.start"](api.plane, start)
    assert first == second
    await api.plane.temporal.get_workflow_handle(run_id).terminate()
    # The id stays taken after the end: the retried start finds the run it began.
    assert await delivery.DELIVERERS["run.start"](api.plane, start) == first


async def test_two_delivery_loops_deliver_each_command_once(api: Api, as_, proxy: Proxy):
    starts = [await as_("operator").post("/api/v1/workflows/away/runs", json={"input": n}) for n in range(5)]
    await proxy.open()
    try:
        await asyncio.gather(*(delivery.deliver_due(api.plane) for _ in range(3)))
        for start in starts:
            await settled(as_("operator"), start.json()["command"]["command_id"], "delivered")
            history = await api.plane.temporal.get_workflow_handle(start.json()["run_id"]).fetch_history()
            kinds = [event.event_type for event in history.events]
            assert kinds.count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED) == 1
    finally:
        await proxy.close()


async def test_with_the_database_away_nothing_is_decided_and_the_api_reports_it(
    postgres_dsn: str, temporal_server: Temporal, tmp_path
):
    proxy = Proxy(postgres_dsn.split("@")[1].split("/")[0])
    database = postgres_dsn.rsplit("/", 1)[1]
    credentials = postgres_dsn.split("@")[0]
    tokens = await make_tokens(postgres_dsn)
    through = f"{credentials}@{proxy.address}/{database}"
    async with running(settings_for(through, temporal_server.address, tmp_path), tokens) as api:
        async with api.client("reviewer") as client, api.client(None) as nobody:
            assert (await nobody.get("/healthz")).status_code == 200
            assert (await nobody.get("/readyz")).status_code == 503
            response = await client.post("/api/v1/approvals/x/decisions", json={"verdict": "approved", "digest": "d"})
            assert (response.status_code, response.json()["code"]) == (503, "unavailable")
            assert "retry-after" in response.headers

            await proxy.open()
            await eventually(lambda: _ready(nobody))
            assert (await client.get("/api/v1/me")).status_code == 200
        await proxy.close()


async def _ready(client) -> bool:
    return (await client.get("/readyz")).status_code == 200
