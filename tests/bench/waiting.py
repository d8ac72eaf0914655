"""Many runs that wait for an approval on one worker, then many decisions at once."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.approval_stand import ApprovalStand, approval_stand
from tests.bench.page import percentile

TITLE = "Many waiting runs"
METHOD = (
    "Runs of one tool that needs approval, started a few at once and left waiting on one worker with the SDK's default cache of open runs "
    "(1,000); then the given number of approvals are decided at once over the API."
)
WAITING = 10_000
DECIDED = 1_000
STARTERS = 16
DECIDERS = 32
STEPS = 10
TIMEOUT_SECONDS = 3_600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--waiting", type=int, default=WAITING, help=f"waiting: waiting runs (default {WAITING:,})")
    parser.add_argument(
        "--decided", type=int, default=DECIDED, help=f"waiting: decisions at once (default {DECIDED:,})"
    )


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure memory while the number of waiting runs grows, then how long many decisions take."""
    figures: list[tuple[str, str]] = []
    async with approval_stand(home) as stand:
        started = 0
        started_at = time.perf_counter()
        resident: list[tuple[int, dict[str, float]]] = []
        for step in range(STEPS):
            target = arguments.waiting * (step + 1) // STEPS
            await run_concurrently(stand.start_externally, range(started, target), STARTERS)
            started = target
            await _wait_for_count(stand, "SELECT count(*) FROM approvals WHERE decidable", started)
            resident.append((started, _memory(stand)))
            print(
                f"{started} runs wait after {time.perf_counter() - started_at:.0f} s: {resident[-1][1]}",
                file=sys.stderr,
            )
        for name in ("worker", "projector", "API"):
            values = ", ".join(
                f"{memory[name]:.0f} with {count:,}" for count, memory in resident if _is_reported(count, arguments)
            )
            figures.append((f"memory of the {name} (MB), by number of waiting runs", values))
        figures += await _decide(stand, min(arguments.decided, arguments.waiting))
        figures.append(("memory of the worker afterwards (MB)", f"{_memory(stand)['worker']:.0f}"))
    return figures


async def _decide(stand: ApprovalStand, count: int) -> list[tuple[str, str]]:
    rows = await stand.pool.fetch("SELECT approval_id, digest FROM approvals ORDER BY opened_at LIMIT $1", count)
    answers: list[float] = []

    async def decide(approval: Any) -> None:
        requested_at = time.perf_counter()
        await stand.approve(dict(approval))
        answers.append((time.perf_counter() - requested_at) * 1000)

    started_at = time.perf_counter()
    await run_concurrently(decide, rows, DECIDERS)
    answered = time.perf_counter() - started_at
    query = "SELECT count(*) FROM commands WHERE kind = 'approval.decide' AND status = 'applied'"
    await _wait_for_count(stand, query, count)
    applied = time.perf_counter() - started_at
    await _wait_for_count(stand, "SELECT count(*) FROM runs WHERE status = 'completed'", count)
    closed = time.perf_counter() - started_at
    return [
        (f"{count:,} decisions at once, all answered, seconds", f"{answered:.1f}"),
        (f"{count:,} decisions at once, all applied, seconds", f"{applied:.1f}"),
        (f"{count:,} decisions at once, all runs completed, seconds", f"{closed:.1f}"),
        ("a decision's answer, p50 / p99 (ms)", f"{percentile(answers, 0.5):.0f} / {percentile(answers, 0.99):.0f}"),
    ]


async def run_concurrently(work: Callable[[Any], Awaitable[Any]], items: Sequence[Any], workers: int) -> list[Any]:
    """Call `work` for each item, at most `workers` at once. Returns the results."""
    slots = asyncio.Semaphore(workers)

    async def one(item: Any) -> Any:
        async with slots:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))


async def _wait_for_count(stand: ApprovalStand, query: str, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await stand.pool.fetchval(query) < count:
            await asyncio.sleep(0.2)


def _memory(stand: ApprovalStand) -> dict[str, float]:
    return {name: round(process.memory_info().rss / 1e6) for name, process in stand.processes.items()}


def _is_reported(count: int, arguments: argparse.Namespace) -> bool:
    tenth = arguments.waiting // STEPS
    return count in (tenth, tenth * (STEPS // 2), arguments.waiting)
