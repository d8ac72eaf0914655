"""The API's background work ends if any of its parts fails, so that the process restarts it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agentgrid.api.feed import Feed
from agentgrid.control import delivery
from agentgrid.control.plane import ControlPlane


async def _break(*_: Any) -> None:
    raise KeyError("unforeseen")


async def _wait(*_: Any) -> None:
    await asyncio.Event().wait()


async def test_delivery_stops_if_its_listener_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: its listener's error was hidden, and commands waited for the next poll each time."""
    monkeypatch.setattr(delivery, "_listen", _break)
    monkeypatch.setattr(delivery, "deliver_due", _wait)
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        await asyncio.wait_for(delivery.run(cast(ControlPlane, SimpleNamespace())), 5)
    assert caught.group_contains(KeyError)


@pytest.mark.parametrize("part", ["_listen", "_poll_hints"])
async def test_the_feed_stops_if_any_part_of_it_fails(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Regression: the error of a part was hidden, and open streams got no more hints, or got events late."""
    for name in ("_listen", "_poll_hints", "catch_up"):
        monkeypatch.setattr(Feed, name, _break if name == part else _wait)
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        await asyncio.wait_for(Feed(cast(Any, None), "").run(), 5)
    assert caught.group_contains(KeyError)
