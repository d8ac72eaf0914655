"""Watches a worker's event loop from a thread, and names the tool that blocks it.

While an async tool blocks, nothing else in its worker runs: other tools, heartbeats, workflow tasks. Temporal then reports timeouts of
whatever had to wait, which hides the cause.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from types import CodeType, FrameType
from typing import Any

from agentgrid import logging
from agentgrid.sdk.places import place_in, shown
from agentgrid.sdk.tools import Tool

log = logging.get_logger()

BEAT_SECONDS = 0.25
BLOCKED_SECONDS = 1.0
"""A loop that hasn't run for this long is blocked. Temporal's default workflow task timeout is ten seconds."""


class Watchdog:
    """Reports a blocked loop once per blockage, if a tool or activity causes it."""

    def __init__(
        self, tools: Iterable[Tool[..., Any]], activities: Iterable[Any], *, blocked_seconds: float = BLOCKED_SECONDS
    ) -> None:
        self._names = _names(tools, activities)
        self._blocked_seconds = blocked_seconds
        self._beaten_at = time.monotonic()
        self._stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop_thread = 0

    def start(self) -> None:
        """Watch the running loop."""
        self._loop_thread = threading.get_ident()
        self._beat(asyncio.get_running_loop())
        threading.Thread(target=self._watch, name="agentgrid-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten_at = time.monotonic()
        self._timer = loop.call_later(BEAT_SECONDS, self._beat, loop)

    def _watch(self) -> None:
        looks, reported = 0, False
        while not self._stopped.wait(BEAT_SECONDS):
            blocked = time.monotonic() - self._beaten_at
            if blocked < self._blocked_seconds:
                looks, reported = 0, False
                continue
            looks += 1
            # After the process was suspended, the first check sees an old beat, but the second sees a new one.
            if looks >= 2 and not reported:
                reported = self._report(blocked)

    def _report(self, seconds: float) -> bool:
        frame = sys._current_frames().get(self._loop_thread)
        blocker = None if frame is None else _blocker(frame, self._names)
        if blocker is None:
            return False
        name, place = blocker
        log.warning(
            "tool_blocks_worker",
            tool=name,
            at=place,
            seconds=round(seconds, 1),
            hint="nothing else runs in this worker meanwhile: await an async equivalent, or use asyncio.to_thread; keep a tool's check fast",
        )
        return True


def _names(tools: Iterable[Tool[..., Any]], activities: Iterable[Any]) -> dict[CodeType, str]:
    names: dict[CodeType, str] = {}
    for activity in activities:
        code = getattr(inspect.unwrap(activity), "__code__", None)
        # Every tool runs through one shared function that isn't its own.
        if isinstance(code, CodeType) and not str(getattr(activity, "__module__", "")).startswith("agentgrid."):
            names[code] = getattr(activity, "__name__", "an activity")
    for tool in tools:
        # Tools from elsewhere share a function of AgentGrid's.
        if isinstance(code := getattr(tool.fn, "__code__", None), CodeType) and tool.module == tool.fn.__module__:
            names[code] = str(tool.name)
        if isinstance(code := getattr(tool.check, "__code__", None), CodeType):
            names.setdefault(code, f"the check of {tool.name}")
    return names


def _blocker(frame: FrameType, names: Mapping[CodeType, str]) -> tuple[str, str] | None:
    """The tool that a stack is in, and the innermost place in the project's code."""
    places: list[str] = []
    at: FrameType | None = frame
    while at is not None:
        places.insert(0, f'File "{at.f_code.co_filename}", line {at.f_lineno}')
        if (name := names.get(at.f_code)) is not None:
            place = place_in("\n".join(places))
            return name, "" if place is None else shown(place)
        at = at.f_back
    return None
