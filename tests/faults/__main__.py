"""`make soak`: hundreds of runs while separate processes are killed, frozen and restarted every few seconds; then every promise is checked.

Exits with 1, and says which, where a promise is broken; the logs of all processes are kept then.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import time
from pathlib import Path

from tests.faults import monkey
from tests.faults.monkey import Fault
from tests.faults.soak import soak
from tests.faults.stage import Stage, new_home

LONG_FREEZE_SECONDS = 30.0
STARTING_SHARE = 0.97
"""The last runs start before the last fault."""


def planned(chance: random.Random, seconds: float) -> list[Fault]:
    """Faults for so many seconds; among them each process killed, and each server frozen for long, at least once."""
    frozen = [Fault(kind="freeze", target=target, seconds=LONG_FREEZE_SECONDS, pause=5.0) for target in monkey.SERVERS]
    faults = monkey.each(chance) + (frozen if seconds > 120 else [])
    while sum(fault.seconds + fault.pause for fault in faults) < seconds:
        faults.append(monkey.drawn(chance))
    chance.shuffle(faults)
    return faults


async def run(home: Path, *, runs: int, seed: int, minutes: float) -> None:
    """One soak, its progress and its report on standard output."""
    chance = random.Random(seed)
    faults = planned(chance, minutes * 60)
    began = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {words}", flush=True)

    say(f"seed {seed}: {runs} runs, {len(faults)} faults in about {minutes:g} minutes")
    async with Stage(home, apis=2, projectors=2, workers=2) as stage:
        say("everything runs")
        figures = await soak(
            stage,
            chance,
            runs=runs,
            pause_seconds=minutes * 60 * STARTING_SHARE / runs,
            faults=faults,
            say=say,
        )
    for name, value in figures.items():
        print(f"  {name}: {value}")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500, help="runs to start (default 500)")
    parser.add_argument("--seed", type=int, default=None, help="repeats the faults and the runs of that seed")
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long things go wrong (default 5)")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    home = new_home()
    broken: list[BaseException] = []
    try:
        asyncio.run(run(home, runs=arguments.runs, seed=seed, minutes=arguments.minutes))
    except* AssertionError as errors:
        broken = _flat(errors)
    if broken:
        for error in broken:
            print(f"BROKEN (seed {seed}): {error}", file=sys.stderr)
        print(f"the output of every process is in {home}", file=sys.stderr)
        return 1
    shutil.rmtree(home, ignore_errors=True)
    print(f"every promise was kept (seed {seed})")
    return 0


def _flat(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [each for inner in error.exceptions for each in _flat(inner)]


if __name__ == "__main__":
    sys.exit(main())
