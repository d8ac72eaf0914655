"""A call for the governor to judge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agentgrid.domain.activities import classify
from agentgrid.domain.policies import Risk
from agentgrid.protocol import RunHeader
from agentgrid.worker.admissions import Scheduled
from agentgrid.worker.governor import CallAttempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(**changed: Any) -> CallAttempt:
    fields: dict[str, Any] = {
        "kind": classify("tool.refund")[0],
        "subject": "refund",
        "title": "Refund",
        "version": "v1",
        "risk": Risk.WRITE,
        "arguments": lambda: {"order": "o"},
        "local": False,
        "namespace": "default",
        "workflow_id": "w",
        "execution_id": "e",
        "workflow": "gated",
        "scheduled": Scheduled(activity_id="1", scheduled_at=NOW, local=False, attempt=1),
        "key": "k",
        "run": lambda: RunHeader(tree="w", initiator="operator"),
        "presented": None,
        "now": NOW,
    }
    return CallAttempt(**(fields | changed))
