"""The short form of `make soak`: every process is killed and every server frozen once while runs go on."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults.monkey import PROGRAMS, SERVERS, each
from tests.faults.soak import soak
from tests.faults.stage import new_stage

SEED = "AGENTGRID_FAULTS_SEED"
RUNS = 30


@pytest.mark.timeout(240)
async def test_nothing_is_lost_or_doubled_while_processes_are_killed_and_frozen() -> None:
    seed = int(os.environ.get(SEED, "1"))
    print(f"{SEED}={seed}")  # shown when it fails
    chance = random.Random(seed)
    async with new_stage(durable=False, projectors=2, workers=2) as stage:
        figures = await soak(stage, chance, runs=RUNS, pause_seconds=0.6, faults=each(chance))
    print(figures)
    assert figures["faults"] == {f"kill {target}": 1 for target in PROGRAMS + SERVERS} | {
        f"freeze {target}": 1 for target in SERVERS
    }
