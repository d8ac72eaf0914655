"""Runs `agentgrid` in a process whose clock is days off.

All modules of AgentGrid and all callers of `time.time` see the wrong time. Monotonic clocks, which timeouts use, are right.
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
    """Skew the clock by this many seconds. Returns the number of affected modules."""
    real_time = time.time

    class Skewed(clock.datetime, metaclass=_AnyDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.datetime.fromtimestamp(real_time() + seconds, tz)

    count = 0
    for name, module in list(sys.modules.items()):
        if name.startswith("agentgrid.") and vars(module).get("datetime") is clock.datetime:
            module.datetime = Skewed  # type: ignore[attr-defined]
            count += 1
    time.time = lambda: real_time() + seconds
    return count


def main() -> None:
    from agentgrid.api import app
    from agentgrid.cli.main import main as agentgrid

    assert skew(float(os.environ[VARIABLE]) * 86_400) > 5, (
        f"too few modules below {app.__name__} read the clock; adapt this module to the ones that do"
    )
    agentgrid()
