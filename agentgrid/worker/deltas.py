"""Streams a model's answer, while it is being written, to people watching the run. Does nothing for runs that nobody watches.

Deltas never block or fail a turn: they are sent with the worker's other reports from a bounded buffer, and any of them may be lost.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from temporalio import activity

from agentgrid.domain.agents import ModelCall
from agentgrid.domain.deltas import MAX_TEXT, MAX_TOOL_NAME, MAX_TOOLS, MAX_WATCHED, WATCHED_SECONDS, watch_mark
from agentgrid.domain.secrets import known

FLUSH_SECONDS = 0.2
"""How long text is buffered to batch it."""


@dataclass(frozen=True, kw_only=True)
class DeltaPart:
    """Part of an answer: the arguments of `agentgrid_delta`."""

    execution_id: str
    agent: str
    call: str
    turn: int
    attempt: int
    sequence: int
    text: str
    tools: list[str]


class Watched:
    """The runs being watched, as announced by API processes. Anyone with a database login can announce, so the number is bounded."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, announced: str) -> None:
        """Record an announcement."""
        now = time.monotonic()
        for mark in announced.split():
            self._until.pop(mark, None)
            self._until[mark] = now + WATCHED_SECONDS
        while self._until and (len(self._until) > MAX_WATCHED or next(iter(self._until.values())) < now):
            del self._until[next(iter(self._until))]

    def holds(self, workflow_id: str) -> bool:
        """Whether anyone is watching this run."""
        return bool(self._until) and self._until.get(watch_mark(workflow_id), 0.0) > time.monotonic()


class DeltaSender:
    """Starts a turn's deltas if its run is being watched. send: must not block."""

    def __init__(self, watched: Watched, send: Callable[[DeltaPart], None]) -> None:
        self._watched, self._send = watched, send

    def begin(self, call: ModelCall) -> TurnDeltas | None:
        """The deltas of the running activity's model turn, or None if nobody is watching its run."""
        info = activity.info()
        if info.workflow_id is None or info.workflow_run_id is None or not self._watched.holds(info.workflow_id):
            return None
        return TurnDeltas(call, info.workflow_run_id, info.attempt, self._send)


class TurnDeltas:
    """The deltas of one model request."""

    def __init__(self, call: ModelCall, execution_id: str, attempt: int, send: Callable[[DeltaPart], None]) -> None:
        self._call, self._execution_id, self._attempt, self._send = call, execution_id, attempt, send
        self._text = ""
        self._tools: list[str] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None

    def text(self, text: str) -> None:
        """Append to the answer's text."""
        self._text += text
        self._flush_soon()

    def tool(self, name: str) -> None:
        """Report that the model requests a call of this tool."""
        # A model may request any name; characters that tool names can't contain are replaced.
        self._tools.append(re.sub(r"[^\w.-]", "?", known.beginning(name, MAX_TOOL_NAME), flags=re.ASCII))
        self._flush_soon()

    def end(self) -> None:
        """Send the rest; the request has ended."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush(last=True)

    def _flush_soon(self) -> None:
        if len(self._text) >= MAX_TEXT + known.longest:
            self._flush()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self, *, last: bool = False) -> None:
        self._timer = None
        text = known.text(self._text)
        # The end may be the start of a secret's value: hold it back until the text after it is known.
        kept = 0 if last else min(known.longest, len(text))
        ready, self._text = text[: len(text) - kept], text[len(text) - kept :]
        tools, self._tools = self._tools, []
        for part in range(max(math.ceil(len(ready) / MAX_TEXT), math.ceil(len(tools) / MAX_TOOLS))):
            self._sequence += 1
            self._send(
                DeltaPart(
                    execution_id=self._execution_id,
                    agent=self._call.agent,
                    call=self._call.call,
                    turn=self._call.turn,
                    attempt=self._attempt,
                    sequence=self._sequence,
                    text=_storable(ready[part * MAX_TEXT : (part + 1) * MAX_TEXT]),
                    tools=tools[part * MAX_TOOLS : (part + 1) * MAX_TOOLS],
                )
            )


def _storable(text: str) -> str:
    """The text without characters that PostgreSQL can't store."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()
