"""Servers and clients for runs that wait for an approval, and decisions over the API."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from agentgrid.db import migrate
from agentgrid.servers import PostgresServer, TemporalServer
from tests.bench.meters import BENCH
from tests.bench.stand import Api, api, child, configuration

READY_SECONDS = 300


class ApprovalStand:
    """Everything that runs with approvals need, each in a separate process."""

    def __init__(
        self,
        server: Api,
        http: httpx.AsyncClient,
        pool: asyncpg.Pool,
        client: Client,
        processes: dict[str, psutil.Process],
    ) -> None:
        self.server = server
        self.pool = pool
        self.client = client
        self.processes = processes
        self.http = http

    async def start(self, number: int) -> str:
        """Start a run through the API and return its id."""
        answer = await self.http.post(
            "/workflows/gated/runs", json={"input": number}, headers=self.server.headers("operator")
        )
        answer.raise_for_status()
        run_id: str = answer.json()["run_id"]
        return run_id

    async def start_externally(self, number: int) -> str:
        """Start a run with Temporal's client, without the control plane, and return its workflow id."""
        handle = await self.client.start_workflow("gated", number, id=str(uuid.uuid4()), task_queue="bench")
        return handle.id

    async def approval(self, run_id: str) -> dict[str, Any]:
        """Wait until the run's approval can be decided, and return it."""
        async with asyncio.timeout(READY_SECONDS):
            while True:
                row = await self.pool.fetchrow(
                    "SELECT approval_id, digest FROM approvals WHERE run_id = $1 AND decidable", run_id
                )
                if row is not None:
                    return dict(row)
                await asyncio.sleep(0.02)

    async def approve(self, approval: dict[str, Any]) -> None:
        """Approve it as the reviewer."""
        answer = await self.http.post(
            f"/approvals/{approval['approval_id']}/decisions",
            json={"verdict": "approved", "digest": approval["digest"]},
            headers=self.server.headers("reviewer"),
        )
        answer.raise_for_status()


@asynccontextmanager
async def approval_stand(home: Path) -> AsyncIterator[ApprovalStand]:
    """Start the servers, the API, the projector, a governed worker and a plain one, and wait until they are ready."""
    async with TemporalServer(home) as temporal, PostgresServer(home) as postgres:
        dsn = await postgres.create_database("approvals")
        await migrate.upgrade(dsn)
        environment = configuration(home, temporal.address, dsn)
        async with (
            api(environment, dsn) as server,
            httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=None) as http,
            asyncpg.create_pool(dsn, min_size=1, max_size=4, server_settings={"application_name": BENCH}) as pool,
        ):
            with (
                child("projector", environment) as projector,
                child("gated", environment) as worker,
                child("raw", environment) as raw,
            ):
                processes = {
                    "projector": projector,
                    "worker": worker,
                    "raw": raw,
                    "API": server.process,
                    "PostgreSQL": psutil.Process(postgres.pid),
                    "Temporal": psutil.Process(temporal.pid),
                }
                async with asyncio.timeout(READY_SECONDS):
                    while not await pool.fetchval("SELECT count(*) FROM workflows WHERE name = 'gated'"):
                        await asyncio.sleep(0.05)
                client = await Client.connect(temporal.address, data_converter=pydantic_data_converter)
                yield ApprovalStand(server, http, pool, client, processes)
