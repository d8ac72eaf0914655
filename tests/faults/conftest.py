"""More time for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

SECONDS = 240
"""For one test, the start of a whole installation included: on a machine whose cores are all busy that takes its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(SECONDS))
