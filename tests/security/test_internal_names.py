"""AgentGrid's and the SDK's own signals, queries and updates can't be reached through the API, nor can a catalog entry abuse them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from agentgrid.protocol import SIGNAL_CONTROL, SIGNAL_DECIDE
from agentgrid.sdk.grid import Grid
from agentgrid.testing import Governance
from tests.api import factories, talking
from tests.api.conftest import Api, api, as_
from tests.conftest import Temporal, worker_login

__all__ = ["api", "as_"]

OURS = (SIGNAL_DECIDE, SIGNAL_CONTROL, "agentgrid.anything")
SDKS = ("__enhanced_stack_trace", "__temporal_x", "__anything")


@pytest.fixture(scope="module")
async def listener(api: Api, temporal_server: Temporal) -> AsyncIterator[Any]:
    """A governed run whose code accepts any name, with its worker; yields a handle."""
    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    name = f"listens-{uuid.uuid4().hex[:8]}"
    async with Worker(client, task_queue=name, plugins=[Governance().plugin(Grid("talking", talking))]):
        handle = await client.start_workflow("listens_to_everything", id=str(uuid.uuid4()), task_queue=name)
        run = factories.run(
            run_id=handle.id,
            workflow_id=handle.id,
            workflow="listens_to_everything",
            task_queue=name,
            first_execution_id=handle.first_execution_run_id,
            execution_id=handle.first_execution_run_id,
        )
        await factories.insert(api.plane.engine, run, factories.execution(run))
        yield handle


async def reached(listener: Any) -> tuple[list[str], int]:
    """The names that handlers were called with, and the number of signals and updates in history."""
    kinds = [event.event_type for event in (await listener.fetch_history()).events]
    sent = (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    )
    return await listener.query("names"), sum(kinds.count(kind) for kind in sent)


@pytest.mark.parametrize("name", [*OURS, *SDKS])
async def test_internal_names_are_refused_on_every_route_and_nothing_is_sent(
    api: Api, as_: Any, listener: Any, name: str
) -> None:
    place = f"/api/v1/runs/{listener.id}"
    before = await reached(listener)
    for who in ("operator", "agent", "robot"):
        refused = [
            await as_(who).post(f"{place}/signal", json={"name": name}),
            await as_(who).post(f"{place}/queries/{name}", json={}),
            await as_(who).post(f"{place}/updates/{name}", json={}),
            # The same name, spelled differently in the path.
            await as_(who).post(f"{place}/updates/%{ord(name[0]):x}{name[1:]}", json={}),
        ]
        assert [(answer.status_code, answer.json()["faults"][0]["message"]) for answer in refused] == [
            (422, "is reserved")
        ] * 4
    assert await reached(listener) == before


async def test_a_name_similar_to_ours_reaches_only_the_authors_handler(as_: Any, listener: Any) -> None:
    place = f"/api/v1/runs/{listener.id}"
    for name in ("Agentgrid.decide", " agentgrid.decide", "agentgrid"):
        assert (await as_("operator").post(f"{place}/signal", json={"name": name})).status_code == 202
        assert (await as_("operator").post(f"{place}/queries/{name}", json={})).json()["result"]["value"] == name


EVIL: dict[str, Any] = {
    "no list": {"signals": 5},
    "no objects": {"signals": [1, None, "x"]},
    "no name": {"signals": [{"input_schema": {}}]},
    "a long name": {"signals": [{"name": "x" * 100_000, "input_schema": {}}]},
    "a schema that is none": {"signals": [{"name": "go", "input_schema": {"type": "nothing"}}]},
    "a schema from elsewhere": {"signals": [{"name": "go", "input_schema": {"$ref": "https://elsewhere/x"}}]},
    "an endless schema": {"signals": [{"name": "go", "input_schema": {"$ref": "#"}}]},
    "titles that are no text": {
        "signals": [{"name": "go", "input_schema": {"type": "array", "prefixItems": [5], "minItems": "x"}}]
    },
    "a thousand names": {
        "signals": [{"name": f"go{number}" + "o" * 90, "input_schema": {}} for number in range(1_000)]
    },
    "deep": {"signals": [{"name": "go", "input_schema": json.loads('{"not":' * 900 + "{}" + "}" * 900)}]},
}


@pytest.mark.parametrize("document", EVIL.values(), ids=EVIL.keys())
async def test_a_hostile_workers_catalog_entry_breaks_neither_the_catalog_nor_a_signal(
    api: Api, as_: Any, module_postgres_dsn: str, document: Any
) -> None:
    name = f"w{uuid.uuid4().hex[:8]}"
    entry = {"name": name, "version": "1", "title": name, "tags": [], "input_schema": {}, "handlers": document}
    connection = await asyncpg.connect(await worker_login(module_postgres_dsn))
    try:
        catalog = {"grid": "g", "build": "b", "task_queue": "q", "workflows": [entry], "tools": []}
        await connection.execute("SELECT agentgrid_catalog($1::json)", json.dumps(catalog))
    finally:
        await connection.close()
    async with asyncio.timeout(10):
        assert (await as_("viewer").get(f"/api/v1/workflows/{name}")).status_code == 200
        handle = await api.plane.temporal.start_workflow("Waits", id=str(uuid.uuid4()), task_queue="nobody")
        run = factories.run(
            run_id=handle.id,
            workflow_id=handle.id,
            workflow=name,
            version="1",
            first_execution_id=handle.first_execution_run_id,
            execution_id=handle.first_execution_run_id,
        )
        await factories.insert(api.plane.engine, run, factories.execution(run))
        answer = await as_("operator").post(f"/api/v1/runs/{run.run_id}/signal", json={"name": "go", "arguments": [1]})
        assert answer.status_code in (202, 422), answer.text
