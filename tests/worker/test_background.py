"""A worker's background tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.worker import Worker

from agentgrid.sdk.grid import Grid
from agentgrid.sdk.toolsets import Toolset
from agentgrid.settings import Settings
from agentgrid.worker.plugin import AgentGridPlugin
from agentgrid.worker.policy import PolicySource
from agentgrid.worker.telemetry import Telemetry
from agentgrid.worker.watchdog import Watchdog
from tests.worker import gated


async def test_a_failed_task_is_logged_at_once_and_does_not_prevent_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PolicySource, "_follow", AsyncMock(side_effect=KeyError("policy")))
    monkeypatch.setattr(Telemetry, "_run", AsyncMock(side_effect=KeyError("telemetry")))
    policy, telemetry = PolicySource("", tmp_path / "policy.json"), Telemetry("", namespace="default", worker="me")
    with capture_logs() as logged:
        await policy.start()
        await telemetry.start()
        for _ in range(3):
            await asyncio.sleep(0)
    await telemetry.stop()
    await policy.stop()
    failed = {line["task"]: line["exc_info"].args for line in logged if line["event"] == "worker_task_failed"}
    assert failed == {"agentgrid-policy": ("policy",), "agentgrid-telemetry": ("telemetry",)}


async def test_a_worker_that_fails_to_start_leaves_nothing_running(
    client: Client, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watchdog, "start", Mock(side_effect=RuntimeError("no thread")))
    nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")
    plugin = AgentGridPlugin(Grid("begins", gated), settings=Settings(database_url=nowhere, home=tmp_path))
    shared = AsyncMock(Toolset)
    monkeypatch.setattr(Grid, "toolsets", [shared])
    with pytest.raises(RuntimeError, match="no thread"):
        await Worker(client, task_queue=queue, plugins=[plugin]).run()
    assert not shared.stop.called, "another worker may be using the toolset, which counts its workers"
    assert [name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("agentgrid-")] == []
