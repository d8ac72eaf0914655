"""A model's answer as it is written, sent to those who watch the run. Nothing is done for a run that nobody watches.

Deltas never block or fail a turn: they are sent with the worker's other reports, from a bounded buffer, and any may be lost.
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
"""How long text waits for more."""


@dataclass(frozen=True, kw_only=True)
class DeltaPart:
    """A part of an answer: the arguments of `agentgrid_delta`."""

    execution_id: str
    agent: str
    call: str
    turn: int
    attempt: int
    sequence: int
    text: str
    tools: list[str]


class Watched:
    """The runs that somebody watches, as announced by API processes. Anybody with a login can announce: the number is bounded."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def hear(self, announced: str) -> None:
        """Note an announcement."""
        now = time.monotonic()
        for mark in announced.split():
            self._until.pop(mark, None)
            self._until[mark] = now + WATCHED_SECONDS
        while self._until and (len(self._until) > MAX_WATCHED or next(iter(self._until.values())) < now):
            del self._until[next(iter(self._until))]

    def holds(self, workflow_id: str) -> bool:
        """Whether somebody watches this run."""
        return bool(self._until) and self._until.get(watch_mark(workflow_id), 0.0) > time.monotonic()


class DeltaSender:
    """Begins a turn's deltas where somebody watches. send: takes them, at once."""

    def __init__(self, watched: Watched, send: Callable[[DeltaPart], None]) -> None:
        self._watched, self._send = watched, send

    def begin(self, call: ModelCall) -> TurnDeltas | None:
        """Those of the running activity's model turn; None if nobody watches its run."""
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
        """More of the answer's text."""
        self._text += text
        self._soon()

    def tool(self, name: str) -> None:
        """The model asks for a call of this tool."""
        # A model may ask for anything; the names that tools can have remain as they are.
        self._tools.append(re.sub(r"[^\w.-]", "?", known.beginning(name, MAX_TOOL_NAME), flags=re.ASCII))
        self._soon()

    def end(self) -> None:
        """The request has ended: send the rest."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush(last=True)

    def _soon(self) -> None:
        if len(self._text) >= MAX_TEXT + known.longest:
            self._flush()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self, *, last: bool = False) -> None:
        self._timer = None
        text = known.text(self._text)
        # The beginning of a secret's value may be at the end: it is sent when what follows is known.
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
    """The text as PostgreSQL can hold it."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()
