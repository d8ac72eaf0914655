"""Many runs that wait for an approval on one worker, then many decisions at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.gates import Gates, gates
from tests.bench.page import at

TITLE = "Many waiting runs"
SAYS = (
    "Runs of one tool that needs approval, started a few at once and left waiting on one worker with the SDK's default cache of open runs "
    "(1,000); then the given number of approvals are decided at once over the API."
)
WAITING = 10_000
DECIDED = 1_000
STARTERS = 16
DECIDERS = 32
STEPS = 10
PATIENCE_SECONDS = 3_600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many."""
    parser.add_argument("--waiting", type=int, default=WAITING, help=f"waiting: runs that wait (default {WAITING:,})")
    parser.add_argument(
        "--decided", type=int, default=DECIDED, help=f"waiting: decisions at once (default {DECIDED:,})"
    )


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Memory as the runs grow in number, and how long the decisions take to be carried out."""
    figures: list[tuple[str, str]] = []
    async with gates(home) as stand:
        started = 0
        began = time.perf_counter()
        resident: list[tuple[int, dict[str, float]]] = []
        for step in range(STEPS):
            wanted = arguments.waiting * (step + 1) // STEPS
            await together(stand.begin, range(started, wanted), STARTERS)
            started = wanted
            await _until(stand, "SELECT count(*) FROM approvals WHERE decidable", started)
            resident.append((started, _memory(stand)))
            print(f"{started} wait after {time.perf_counter() - began:.0f} s: {resident[-1][1]}", file=sys.stderr)
        for name in ("worker", "projector", "API"):
            shown = ", ".join(
                f"{memory[name]:.0f} with {count:,}" for count, memory in resident if _shown(count, arguments)
            )
            figures.append((f"memory of the {name} (MB), by runs that wait", shown))
        figures += await _decided(stand, min(arguments.decided, arguments.waiting))
        figures.append(("memory of the worker afterwards (MB)", f"{_memory(stand)['worker']:.0f}"))
    return figures


async def _decided(stand: Gates, count: int) -> list[tuple[str, str]]:
    rows = await stand.pool.fetch("SELECT approval_id, digest FROM approvals ORDER BY opened_at LIMIT $1", count)
    answers: list[float] = []

    async def decide(gate: Any) -> None:
        asked_at = time.perf_counter()
        await stand.approve(dict(gate))
        answers.append((time.perf_counter() - asked_at) * 1000)

    began = time.perf_counter()
    await together(decide, rows, DECIDERS)
    answered = time.perf_counter() - began
    applied = "SELECT count(*) FROM commands WHERE kind = 'approval.decide' AND status = 'applied'"
    await _until(stand, applied, count)
    settled = time.perf_counter() - began
    await _until(stand, "SELECT count(*) FROM runs WHERE status = 'completed'", count)
    closed = time.perf_counter() - began
    return [
        (f"{count:,} decisions at once, all answered, seconds", f"{answered:.1f}"),
        (f"{count:,} decisions at once, all applied, seconds", f"{settled:.1f}"),
        (f"{count:,} decisions at once, all runs completed, seconds", f"{closed:.1f}"),
        ("a decision's answer, p50 / p99 (ms)", f"{at(answers, 0.5):.0f} / {at(answers, 0.99):.0f}"),
    ]


async def together(work: Callable[[Any], Awaitable[Any]], items: Sequence[Any], workers: int) -> list[Any]:
    """The answers, from so many at once."""
    places = asyncio.Semaphore(workers)

    async def one(item: Any) -> Any:
        async with places:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))


async def _until(stand: Gates, query: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await stand.pool.fetchval(query) < count:
            await asyncio.sleep(0.2)


def _memory(stand: Gates) -> dict[str, float]:
    return {name: round(process.memory_info().rss / 1e6) for name, process in stand.processes.items()}


def _shown(count: int, arguments: argparse.Namespace) -> bool:
    tenth = arguments.waiting // STEPS
    return count in (tenth, tenth * (STEPS // 2), arguments.waiting)
