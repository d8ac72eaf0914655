"""`agentgrid`, in a process whose clock is days off.

Every module of AgentGrid, and all that calls `time.time`, sees the wrong time. Monotonic clocks, by which timeouts are counted, are right.
"""

from __future__ import annotations

import datetime as clock
import os
import sys
import time
from datetime import tzinfo
from typing import Any

VARIABLE = "FAULTS_CLOCK_DAYS"


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, clock.datetime)


def skew(seconds: float) -> int:
    """Put the clock off; in how many modules."""
    right = time.time

    class Skewed(clock.datetime, metaclass=_AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.datetime.fromtimestamp(right() + seconds, tz)

    count = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("agentgrid.") and vars(module).get("datetime") is clock.datetime:
            module.datetime = Skewed  # type: ignore[attr-defined]
            count += 1
    time.time = lambda: right() + seconds
    return count


def main() -> None:
    from agentgrid.api import app
    from agentgrid.cli.main import main as agentgrid

    assert skew(float(os.environ[VARIABLE]) * 86_400) > 5, f"the clock is read elsewhere now than below {app.__name__}"
    agentgrid()
