"""The loop breaker detects four kinds of loops, and doesn't stop legitimate work."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agentgrid.domain.agents import Usage
from agentgrid.sdk.agent_breaker import DENIALS, REPEATS, Breaker

DENIED = {"fault": "PolicyDenied: refund is denied by the rule r@1"}


def calls_until_loop(made: list[tuple[str, Any, dict[str, Any]]]) -> int | None:
    """The number of calls after which the breaker stops the agent, or None."""
    breaker = Breaker()
    for count, (name, arguments, answer) in enumerate(made, start=1):
        breaker.called(name, arguments, answer)
        if breaker.loop() is not None:
            return count
    return None


@pytest.mark.parametrize(
    ("pattern", "within"),
    [
        ([("get", {"id": 1}, {"result": "pending"})], REPEATS[1]),
        ([("get", {"id": 1}, {"fault": "ToolError: away"})], REPEATS[1]),
        ([("get", {"id": 1}, {"result": 1}), ("put", {"id": 1}, {"result": 2})], 2 * REPEATS[2]),
        ([("a", {}, {"result": 1}), ("b", {}, {"result": 1}), ("c", {}, {"result": 1})], 3 * REPEATS[3]),
        ([("refund", {"id": 1}, DENIED), ("get", {"id": 1}, {"result": 1})], 2 * DENIALS - 1),
    ],
    ids=["the same call", "the same failure", "ping-pong", "three in rotation", "a repeated denial"],
)
def test_a_loop_is_detected(pattern: list[tuple[str, Any, dict[str, Any]]], within: int):
    assert calls_until_loop(pattern * 20) == within


def test_a_sudden_rise_in_usage_is_detected_and_a_steady_one_is_not():
    steady, sudden = Breaker(), Breaker()
    for turn in range(40):
        steady.used(Usage(input_tokens=2_000 * (turn + 1)))
        assert steady.loop() is None
    for tokens in (2_000, 3_000, 4_000, 5_000, 90_000):
        assert sudden.loop() is None
        sudden.used(Usage(input_tokens=tokens))
    assert "90,000 tokens" in (sudden.loop() or "")


def test_resuming_the_run_gives_the_agent_as_many_calls_again():
    breaker = Breaker()
    for _ in range(REPEATS[1]):
        breaker.called("get", {}, {"result": 1})
    assert breaker.loop() is not None
    breaker.forget()
    for _ in range(REPEATS[1] - 1):
        breaker.called("get", {}, {"result": 1})
    assert breaker.loop() is None


def honest(seed: int) -> list[tuple[str, Any, dict[str, Any]]]:
    """Work on a list of items: look, act with a few retries, then poll until it is done."""
    draw = random.Random(seed)
    made: list[tuple[str, Any, dict[str, Any]]] = []
    for thing in range(draw.randint(3, 25)):
        made.append(("get", {"id": thing}, {"result": {"id": thing, "state": draw.choice(["new", "old"])}}))
        fault = {"fault": "ToolError: the service is busy"}
        made += [("act", {"id": thing}, fault)] * draw.randint(0, REPEATS[1] - 2)
        made.append(("act", {"id": thing}, {"result": "started"}))
        made += [("poll", {"id": thing}, {"result": "pending"})] * draw.randint(0, REPEATS[1] - 2)
        made.append(("poll", {"id": thing}, {"result": "done"}))
        if draw.random() < 0.1:
            made += [("refund", {"id": thing}, DENIED)] * (DENIALS - 1)
    return made


def test_two_hundred_legitimate_runs_with_retries_are_not_loops():
    assert [seed for seed in range(200) if calls_until_loop(honest(seed)) is not None] == []
