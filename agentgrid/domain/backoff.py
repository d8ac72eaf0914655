"""The delay between the tries of something that fails: the one formula, used by every loop that tries again."""

from __future__ import annotations

import random

_MAX_DOUBLINGS = 30


def backoff(first: float, most: float, *, tries: int) -> float:
    """The seconds to wait after this many earlier tries: `first`, doubled with each of them, never more than `most`."""
    return min(first * 2.0 ** min(tries, _MAX_DOUBLINGS), most)


def jittered(seconds: float) -> float:
    """Between half of the delay and all of it, so that many who wait don't come back at once. Not for workflow code: it is random."""
    return seconds * random.uniform(0.5, 1.0)
