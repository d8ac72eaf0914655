"""A worker's background tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from structlog.testing import capture_logs

from agentgrid.worker.policy import PolicySource
from agentgrid.worker.telemetry import Telemetry


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
