"""A longer timeout for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

SECONDS = 240
"""Timeout of one test, including the start of a whole installation, which is slow on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(SECONDS))
