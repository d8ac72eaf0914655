"""The list of workers, derived from their heartbeats."""

from __future__ import annotations

import pytest
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.worker.v1 import WorkerHeartbeat

from agentgrid.api.routes import workers
from tests.api.conftest import Api

BEATS = {
    "versioned": WorkerDeploymentVersion(deployment_name="backoffice", build_id="7"),
    "plain": WorkerDeploymentVersion(build_id="made-from-unrelated-modules"),
}


async def test_a_worker_without_a_deployment_has_no_build(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def heartbeats(_: object) -> list[WorkerHeartbeat]:
        return [
            WorkerHeartbeat(worker_identity=identity, deployment_version=version) for identity, version in BEATS.items()
        ]

    monkeypatch.setattr(workers.workers, "heartbeats", heartbeats)
    async with api.client("operator") as client:
        response = await client.get("/api/v1/workers")
    assert {item["identity"]: item["build"] for item in response.json()["items"]} == {
        "versioned": "backoffice.7",
        "plain": None,
    }
