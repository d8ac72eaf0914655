"""`make soak`: hundreds of runs while separate processes are killed, frozen and restarted every few seconds; then all guarantees are checked.

If a guarantee is violated, it prints which, keeps the logs of all processes, and exits with 1.
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
"""Share of the time in which runs are started, so that the last ones start before the last fault."""


def plan(rng: random.Random, seconds: float) -> list[Fault]:
    """Faults for this many seconds, including at least one kill of each process and one long freeze of each server."""
    frozen = [Fault(kind="freeze", target=target, seconds=LONG_FREEZE_SECONDS, pause=5.0) for target in monkey.SERVERS]
    faults = monkey.one_of_each(rng) + (frozen if seconds > 120 else [])
    while sum(fault.seconds + fault.pause for fault in faults) < seconds:
        faults.append(monkey.draw_fault(rng))
    rng.shuffle(faults)
    return faults


async def run(home: Path, *, runs: int, seed: int, minutes: float) -> None:
    """Run one soak, and print its progress and report."""
    rng = random.Random(seed)
    faults = plan(rng, minutes * 60)
    began = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    report(f"seed {seed}: {runs} runs, {len(faults)} faults in about {minutes:g} minutes")
    async with Stage(home, apis=2, projectors=2, workers=2) as stage:
        report("all processes are running")
        figures = await soak(
            stage,
            rng,
            runs=runs,
            pause_seconds=minutes * 60 * STARTING_SHARE / runs,
            faults=faults,
            report=report,
        )
    for name, value in figures.items():
        print(f"  {name}: {value}")


def main() -> int:
    """Run the command. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500, help="number of runs to start (default 500)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the faults and runs of this seed")
    parser.add_argument("--minutes", type=float, default=5.0, help="duration of the faults (default 5)")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    home = new_home()
    violations: list[BaseException] = []
    try:
        asyncio.run(run(home, runs=arguments.runs, seed=seed, minutes=arguments.minutes))
    except* AssertionError as errors:
        violations = _flatten(errors)
    if violations:
        for error in violations:
            print(f"VIOLATED (seed {seed}): {error}", file=sys.stderr)
        print(f"the logs of all processes are in {home}", file=sys.stderr)
        return 1
    shutil.rmtree(home, ignore_errors=True)
    print(f"all guarantees held (seed {seed})")
    return 0


def _flatten(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _flatten(inner)]


if __name__ == "__main__":
    sys.exit(main())
