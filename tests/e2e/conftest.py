"""The whole loop in one process: API, projector and worker with real servers, in a separate Temporal namespace."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Worker

from agentgrid.projector import main as projector_main
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.worker.plugin import AgentGridPlugin
from tests import oracle
from tests.activities.conftest import seeded_template
from tests.api.conftest import Api, running, settings_for
from tests.conftest import Peopled, Postgres, Temporal, control_login, worker_login
from tests.worker import gated
from tests.worker.plain import Cancellations, Child, Shapes, beat, echo
from worker import grid as backoffice_grid

__all__ = ["seeded_template"]

ENDED = ("completed", "failed", "cancelled", "terminated", "timed_out")


class Loop:
    """The running loop, with helpers to use it as its users would."""

    def __init__(self, api: Api, client: Client, settings: Settings, worker_settings: Settings) -> None:
        self.api = api
        self.client = client
        self.settings = settings
        self.worker_settings = worker_settings
        """Settings with a worker's restricted database login."""
        self.runs: set[str] = set()
        """The runs that the test has read."""

    def worker(self, queue: str, grid: Grid | None = None, **more: Any) -> Worker:
        """A governed worker, not started yet."""
        plugin = AgentGridPlugin(grid, settings=self.worker_settings)
        grace = timedelta(seconds=1)
        return Worker(self.client, task_queue=queue, plugins=[plugin], graceful_shutdown_timeout=grace, **more)

    async def call(self, who: str, method: str, path: str, expect: int = 200, **options: Any) -> Any:
        """Send a request as this principal. Returns the response's JSON."""
        async with self.api.client(who) as http:
            answer: httpx.Response = await http.request(method, f"/api/v1{path}", **options)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    async def start(self, workflow: str, value: Any, **more: Any) -> str:
        """Start a run. Returns its id."""
        run = await self.call("operator", "POST", f"/workflows/{workflow}/runs", 201, json={"input": value, **more})
        return str(run["run_id"])

    async def run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = await self.call("operator", "GET", f"/runs/{run_id}")
        self.runs.add(run_id)
        return run

    async def until(self, run_id: str, *statuses: str, timeout_seconds: float = 30.0) -> dict[str, Any]:
        """Wait until the run has one of these statuses (by default, until it has ended). Returns the run."""
        expected = statuses or ENDED
        run: dict[str, Any] = {}
        try:
            async with asyncio.timeout(timeout_seconds):
                while (run := await self.run(run_id))["status"] not in expected:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{run_id} never became {expected}: {run}") from None
        return run

    async def approval(self, run_id: str, *, timeout_seconds: float = 30.0, after: str | None = None) -> dict[str, Any]:
        """Wait for the run's pending, decidable approval (other than `after`). Returns it."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                pending = await self.call("reviewer", "GET", f"/approvals?run={run_id}&status=pending")
                for item in pending["items"]:
                    if item["approval_id"] != after and item["decidable"]:
                        approval: dict[str, Any] = await self.call(
                            "reviewer", "GET", f"/approvals/{item['approval_id']}"
                        )
                        return approval
                await asyncio.sleep(0.05)

    async def reports(
        self, run_id: str, kind: str, complete: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """Wait until the run's `jobs` or `logs` are complete, and return them: the worker reports them some time after the step.

        Raises AssertionError if they never are.
        """
        items: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(30):
                while True:
                    items = (await self.call("operator", "GET", f"/runs/{run_id}/{kind}"))["items"]
                    if complete(items):
                        return items
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"the {kind} of {run_id} were never complete: {items}") from None

    async def decide(
        self,
        approval: dict[str, Any],
        verdict: str = "approved",
        *,
        who: str = "reviewer",
        expect: int = 202,
        **changed: Any,
    ) -> Any:
        body = {"verdict": verdict, "digest": approval["digest"], **changed}
        return await self.call(who, "POST", f"/approvals/{approval['approval_id']}/decisions", expect, json=body)


async def new_namespace(temporal: Temporal, name: str | None = None) -> str:
    """Register a Temporal namespace, so that the projector sees no other workflows. Returns its name."""
    name = name or f"e2e-{uuid.uuid4().hex[:8]}"
    client = await Client.connect(temporal.address)
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=Duration(seconds=86_400))
    )
    return name


@contextlib.asynccontextmanager
async def looping(
    settings: Settings,
    dsn: str,
    app_dsn: str,
    tokens: dict[str, str],
    *workers: tuple[str, Grid | None, dict[str, Any]],
) -> AsyncIterator[Loop]:
    """Run a loop. dsn: the superuser's. app_dsn: the back office's. workers: queue, grid and options of each worker."""
    restricted = await worker_login(dsn)
    worker_settings = settings.model_copy(update={"database_url": SecretStr(restricted), "signing_key_file": None})
    client = await _client(settings.temporal_address, settings.temporal_namespace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APP_DATABASE_URL", app_dsn)
        async with contextlib.AsyncExitStack() as stack:
            api = await stack.enter_async_context(running(settings, tokens))
            projecting = asyncio.create_task(projector_main.run(settings))
            stack.push_async_callback(_cancel, projecting)
            loop = Loop(api, client, settings, worker_settings)
            for queue, grid, extra in workers:
                await stack.enter_async_context(loop.worker(queue, grid, **extra))
            grids = {grid.name for _, grid, _ in workers if grid is not None}
            async with asyncio.timeout(30):
                while not grids <= {
                    workflow["grid"] for workflow in (await loop.call("operator", "GET", "/workflows"))["items"]
                }:
                    await asyncio.sleep(0.05)
            yield loop
        from activities.backoffice import close_pool

        await close_pool()


@pytest.fixture(scope="module")
async def namespace(temporal_server: Temporal) -> str:
    """A Temporal namespace for the tests of this module."""
    return await new_namespace(temporal_server)


@pytest.fixture(scope="module")
async def loop(
    namespace: str,
    temporal_server: Temporal,
    postgres_server: Postgres,
    peopled: Peopled,
    module_postgres_dsn: str,
    seeded_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Loop]:
    """A running loop, shared by the module's tests."""
    home: Path = tmp_path_factory.mktemp("loop")
    app_dsn = postgres_server.dsn_of(await postgres_server.create(template=seeded_template))
    control = await control_login(module_postgres_dsn)
    settings = settings_for(control, temporal_server.address, home).model_copy(update={"temporal_namespace": namespace})
    workers = (
        ("backoffice", backoffice_grid, {}),
        ("gated", Grid("gated", gated), {"activities": [gated.plain]}),
        ("plain", None, {"workflows": [Shapes, Child, Cancellations], "activities": [echo, beat]}),
    )
    async with looping(settings, module_postgres_dsn, app_dsn, dict(peopled.tokens), *workers) as loop:
        yield loop


async def _client(address: str, namespace: str) -> Client:
    """Wait until all of the server knows the new namespace, and return a client."""
    async with asyncio.timeout(30):
        while True:
            client = await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)
            try:
                async for _ in client.list_workflows("", limit=1):
                    pass
            except RPCError:
                await asyncio.sleep(0.1)
            else:
                return client


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def steps_of(loop: Loop, run_id: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = (await loop.call("operator", "GET", f"/runs/{run_id}/steps?limit=200"))["items"]
    return steps


@pytest.fixture
async def mirrored(loop: Loop) -> AsyncIterator[None]:
    """After each test, compare every run with the oracle, which reads Temporal and shares no code with the projector."""
    loop.runs.clear()
    yield
    for run_id in list(loop.runs):

        async def probe(run_id: str = run_id) -> tuple[Any, Any, Any]:
            approvals = (await loop.call("operator", "GET", f"/runs/{run_id}/approvals"))["items"]
            return await loop.run(run_id), await steps_of(loop, run_id), approvals

        await oracle.eventually(loop.client, probe)
