"""The overview says when its numbers may be stale."""

from __future__ import annotations

from typing import Any

import pytest

from agentgrid.cli.exits import ExitCode
from agentgrid.cli.overview import LINES
from tests.cli.conftest import Cli, FakeServer, Reply

NOW = "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        ({"lag_seconds": 0.2, "updated_at": "2026-03-01T11:59:59Z", "stale": False}, None),
        ({"lag_seconds": 75.0, "updated_at": "2026-03-01T11:59:59Z", "stale": True}, "the projector is 1m 15s behind"),
        (
            {"lag_seconds": 0.2, "updated_at": "2026-03-01T11:58:00Z", "stale": True},
            "no projector has reported for 2m 00s",
        ),
        ({"lag_seconds": None, "updated_at": None, "stale": True}, "no projector has reported."),
    ],
    ids=["fresh", "behind", "silent", "never reported"],
)
def test_a_stale_projection_is_reported_with_its_cause(
    cli: Cli, server: FakeServer, projection: dict[str, Any], expected: str | None
) -> None:
    counts = {field: {"count": 1, "href": "/"} for field, _, _ in LINES}
    server.on("GET /overview", Reply(body={**counts, "generated_at": NOW, "projection": projection}))
    shown = cli("overview")
    assert shown.code == ExitCode.OK, shown.err
    assert ("These numbers may be stale" in shown.out) is (expected is not None)
    assert expected is None or expected in shown.out
