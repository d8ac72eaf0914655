"""Detects agents that are stuck in a loop. Pure, and fed from history, so a replay detects the same.

It compares calls together with their outcomes: a legitimate retry sooner or later changes its arguments or gets another result; a loop does neither.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from typing import Any

from agentgrid.domain.agents import Usage
from agentgrid.domain.canonical import sorted_json
from agentgrid.protocol import ErrorType

REPEATS = {1: 6, 2: 4, 3: 3}
"""A loop is a pattern of this many calls (key) that repeats this many times in a row (value), with the same arguments and outcomes."""

DENIALS = 3
"""A call that is denied or rejected this many times, without another outcome, is a loop."""

SPIKE = 10
"""A turn that uses this many times the average tokens of the earlier turns is a spike,"""
SPIKE_TURNS = 4
"""if there are at least this many earlier turns"""
SPIKE_TOKENS = 50_000
"""and it uses at least this many tokens."""

REFUSALS = frozenset({ErrorType.POLICY_DENIED, ErrorType.APPROVAL_REJECTED, ErrorType.APPROVAL_EXPIRED})

_KEPT = max(period * times for period, times in REPEATS.items())


class Breaker:
    """The recent calls of one agent call, and the usage of its turns."""

    def __init__(self) -> None:
        self._calls: deque[bytes] = deque(maxlen=_KEPT)
        self._denials: dict[bytes, int] = {}
        self._tokens: list[int] = []

    def called(self, name: str, arguments: Any, answer: dict[str, Any]) -> None:
        """Record a call and its outcome. answer: the message about it that the model sees."""
        call = hashlib.sha256(sorted_json([name, arguments])).digest()
        outcome = {key: answer.get(key) for key in ("result", "fault")}
        self._calls.append(hashlib.sha256(call + sorted_json(outcome)).digest())
        refused = str(answer.get("fault", "")).split(":")[0] in REFUSALS
        self._denials[call] = self._denials.get(call, 0) + 1 if refused else 0

    def used(self, usage: Usage) -> None:
        """Record the usage of a model turn."""
        self._tokens.append(usage.input_tokens - usage.cached_tokens + usage.output_tokens)

    def loop(self) -> str | None:
        """A description of the loop that the agent is in, or None."""
        if any(times >= DENIALS for times in self._denials.values()):
            return f"it made the same call {DENIALS} times, and was refused each time"
        calls = list(self._calls)
        for period, times in REPEATS.items():
            tail = calls[-period * times :]
            if len(tail) == period * times and all(tail[at] == tail[at % period] for at in range(len(tail))):
                what = "the same call" if period == 1 else f"the same {period} calls"
                return f"it made {what} {times} times, with the same results"
        return self._spike()

    def _spike(self) -> str | None:
        *before, last = self._tokens or [0]
        if len(before) < SPIKE_TURNS or last < SPIKE_TOKENS:
            return None
        average = _average(before)
        return (
            f"its last turn used {last:,} tokens; earlier turns used {average:,.0f} on average"
            if last > SPIKE * average
            else None
        )

    def forget(self) -> None:
        """Start over, because a person has seen the loop and let the agent continue."""
        self._calls.clear()
        self._denials.clear()
        self._tokens.clear()


def _average(values: Iterable[int]) -> float:
    kept = list(values)
    return sum(kept) / max(len(kept), 1)
