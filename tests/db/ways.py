"""Forces one method of finding a page, for tests that compare them."""

from __future__ import annotations

from typing import Any

import pytest

from agentgrid.db import paging


def scan_only(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Find every page by scanning at most this many rows."""

    def scan(listing: Any, conditions: Any, after: Any, _limit: int) -> Any:
        return paging._scanned(listing, conditions, after, rows)

    patch.setattr(paging, "_collected", scan)


def collect_only(patch: pytest.MonkeyPatch) -> None:
    """Find every page by collecting all matches, without scanning."""
    patch.setattr(paging, "STRETCH", 0)
