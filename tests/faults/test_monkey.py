"""A short soak: every process is killed and every server frozen once while runs are in progress."""

from __future__ import annotations

import os
import random

from tests.faults.monkey import PROGRAMS, SERVERS, one_of_each
from tests.faults.soak import soak
from tests.faults.stage import Stage

SEED = "AGENTGRID_FAULTS_SEED"
RUNS = 30


async def test_nothing_is_lost_or_done_twice_while_processes_are_killed_and_frozen(stage: Stage) -> None:
    seed = int(os.environ.get(SEED, "1"))
    print(f"{SEED}={seed}")  # shown if the test fails
    rng = random.Random(seed)
    figures = await soak(stage, rng, runs=RUNS, pause_seconds=0.6, faults=one_of_each(rng))
    print(figures)
    assert figures["faults"] == {f"kill {target}": 1 for target in PROGRAMS + SERVERS} | {
        f"freeze {target}": 1 for target in SERVERS
    }
