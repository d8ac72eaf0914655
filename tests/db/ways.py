"""Ways to find a page, for tests that compare them."""

from __future__ import annotations

from typing import Any

import pytest

from agentgrid.db import paging


def walk_alone(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Let every page be found by walking, over at most so many rows."""

    def walk(listing: Any, conditions: Any, after: Any, _limit: int) -> Any:
        return paging._scanned(listing, conditions, after, rows)

    patch.setattr(paging, "_collected", walk)


def collect_at_once(patch: pytest.MonkeyPatch) -> None:
    """Let no page be found by walking."""
    patch.setattr(paging, "STRETCH", 0)
