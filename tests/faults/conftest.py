"""One stage for the tests of a process, healed before each."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.faults.stage import Stage, new_stage


@pytest.fixture(scope="session")
async def shared_stage() -> AsyncIterator[Stage]:
    """An installation with two projectors and one of everything else."""
    async with new_stage(durable=False, projectors=2) as stage:
        yield stage


@pytest.fixture
async def stage(shared_stage: Stage) -> Stage:
    """The installation with everything running."""
    await shared_stage.healed()
    return shared_stage
