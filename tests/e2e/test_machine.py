"""Whatever is asked of runs, in whatever order: no answer is an error of ours, and all records agree on how each ended."""

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
"""Sequences of requests: more of them, and the search for the shortest one that fails, by the environment."""
STEPS = 12


@pytest.mark.timeout(300)
async def test_any_order_of_requests_leaves_runs_that_everything_agrees_on(loop: Loop) -> None:
    rule = {"effect": "require_approval", "approvers": ["role:approver"], "expires_seconds": 600}
    await loop.call("admin", "PUT", "/tools/refund/policy", json=rule)
    here = asyncio.get_running_loop()

    class Machine(RunMachine):
        world = loop

        @staticmethod
        def wait(work: Coroutine[Any, Any, Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(work, here).result(60)

    longer = "AGENTGRID_MACHINE_EXAMPLES" in os.environ
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=not longer,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if longer else [])],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=settings)
