"""A soak: load, faults, and the checks of the guarantees afterwards."""

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
    rng: random.Random,
    *,
    runs: int,
    pause_seconds: float,
    faults: Sequence[Fault],
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run a load during these faults. Returns figures, raises AssertionError for the first violated guarantee.

    Recovery gets no help: after the last fault, the soak only waits and keeps deciding approvals.
    """
    # Separate generators, because load and monkey draw concurrently, in an order that can't be repeated.
    load = Load(stage, random.Random(rng.getrandbits(64)), runs=runs, pause_seconds=pause_seconds)
    monkey = Monkey(stage, random.Random(rng.getrandbits(64)), report=report)
    since, began = datetime.now(UTC), time.monotonic()
    async with load.running():
        await monkey.cause_all(faults)
        ended = [program.name for program in stage.programs.values() if not program.running]
        assert not ended, f"these programs exited on their own: {ended}"
        faults_over = time.monotonic()
        report(f"{len(load.acknowledged)} of {runs} runs acknowledged; no more faults")
    settled = time.monotonic()
    report("all runs have ended")
    figures: dict[str, Any] = {"faults": dict(monkey.fired), "answers": dict(sorted(load.answers.items()))}
    figures |= {
        "seconds of faults": round(faults_over - began),
        "seconds until the last run ended": round(settled - faults_over),
    }
    figures |= await load.verify()
    figures["effects attempted again"] = checks.repeated(stage, load.acknowledged)
    await checks.started_once(stage, load.acknowledged, since=since)
    figures["commands"] = await checks.nothing_pending(stage)
    figures["decided approvals"] = await checks.decided_once(stage)
    report("nothing was lost or done twice")
    figures["runs equal to Temporal's history"] = await checks.mirrored(stage, load.acknowledged)
    report("the API agrees with Temporal's histories")
    figures["executions rebuilt to the same rows"] = await checks.rebuilt(stage)
    assert figures["decided approvals"], "no approval was decided"
    assert figures["effects attempted again"], "no fault interrupted any work"
    return figures
