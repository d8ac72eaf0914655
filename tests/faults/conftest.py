"""One stage for the tests of a process, healed before each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.stage import Stage, new_stage

SECONDS = 240
"""For one test, the start of a whole installation included: on a machine whose cores are all busy that takes its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(SECONDS))


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
