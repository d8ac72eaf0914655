"""Load, faults, and the promises afterwards: the one thing that the short and the long form both do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.faults import checks
from tests.faults.load import Load
from tests.faults.monkey import Fault, Monkey
from tests.faults.stage import Stage


async def soak(
    stage: Stage,
    chance: random.Random,
    *,
    runs: int,
    pause_seconds: float,
    faults: Sequence[Fault],
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Figures about a load that met with these faults. Raises AssertionError for the first promise that was broken.

    Nobody helps: after the last fault all that is done is to wait, and to decide approvals as before.
    """
    # One for each: they draw side by side, and nobody can repeat their order.
    load = Load(stage, random.Random(chance.getrandbits(64)), runs=runs, pause_seconds=pause_seconds)
    monkey = Monkey(stage, random.Random(chance.getrandbits(64)), say=say)
    since, began = datetime.now(UTC), time.monotonic()
    async with load.going():
        await monkey.plague(faults)
        ended = [program.name for program in stage.programs.values() if not program.running]
        assert not ended, f"ended by themselves: {ended}"
        troubled = time.monotonic()
        say(f"{len(load.acknowledged)} of {runs} runs acknowledged; no more faults")
    settled = time.monotonic()
    say("all runs have ended")
    figures: dict[str, Any] = {"faults": dict(monkey.fired), "answers": dict(sorted(load.answers.items()))}
    figures |= {
        "seconds of faults": round(troubled - began),
        "seconds until the last run ended": round(settled - troubled),
    }
    figures |= await load.verify()
    figures["effects attempted again"] = checks.repeated(stage, load.acknowledged)
    await checks.started_once(stage, load.acknowledged, since=since)
    figures["commands"] = await checks.nothing_pending(stage)
    figures["decided approvals"] = await checks.decided_once(stage)
    say("nothing is lost, nothing happened twice")
    figures["runs equal to Temporal's history"] = await checks.mirrored(stage, load.acknowledged)
    say("the mirror equals Temporal's history")
    figures["executions rebuilt to the same rows"] = await checks.rebuilt(stage)
    assert figures["decided approvals"], "nothing was ever decided"
    assert figures["effects attempted again"], "no fault has met any work"
    return figures
