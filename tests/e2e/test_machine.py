"""Random sequences of requests: no response is a server error, and all records agree on how each run ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.e2e.conftest import Loop
from tests.e2e.machine import RunMachine

EXAMPLES = int(os.environ.get("AGENTGRID_MACHINE_EXAMPLES", "4"))
"""The number of sequences. If the environment sets it, failing sequences are also shrunk."""
STEPS = 12


@pytest.mark.timeout(300)
async def test_after_any_sequence_of_requests_all_records_of_a_run_agree(loop: Loop) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    event_loop = asyncio.get_running_loop()

    class Machine(RunMachine):
        world = loop

        @staticmethod
        def wait(work: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(work, event_loop).result(60)

    extended = "AGENTGRID_MACHINE_EXAMPLES" in os.environ
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=not extended,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if extended else [])],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=settings)
