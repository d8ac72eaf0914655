"""Exponential backoff, used by every retry loop."""

from __future__ import annotations

import random

_MAX_DOUBLINGS = 30


def backoff(first: float, most: float, *, tries: int) -> float:
    """The delay in seconds after this many earlier attempts: `first`, doubled for each of them, capped at `most`."""
    return min(first * 2.0 ** min(tries, _MAX_DOUBLINGS), most)


def jittered(seconds: float) -> float:
    """A random delay between half of this one and all of it, so that waiting processes don't retry together. Not for workflow code."""
    return seconds * random.uniform(0.5, 1.0)
