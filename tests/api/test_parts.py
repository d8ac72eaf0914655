"""What the API does beside requests ends with its parts, so that the process restarts it."""

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


async def test_delivery_does_not_go_on_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its listener's error was hidden, and commands waited for the next poll each time."""
    monkeypatch.setattr(delivery, "_listen", _break)
    monkeypatch.setattr(delivery, "deliver_due", _wait)
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        await asyncio.wait_for(delivery.run(cast(ControlPlane, SimpleNamespace())), 5)
    assert caught.group_contains(KeyError)


@pytest.mark.parametrize("part", ["_listen", "_look_for_hints"])
async def test_a_feed_does_not_go_on_without_a_part_of_it(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """The error of a part was hidden, and open streams got no more hints, or events late."""
    for name in ("_listen", "_look_for_hints", "catch_up"):
        monkeypatch.setattr(Feed, name, _break if name == part else _wait)
    with pytest.raises(ExceptionGroup, match="unhandled") as caught:
        await asyncio.wait_for(Feed(cast(Any, None), "").run(), 5)
    assert caught.group_contains(KeyError)
