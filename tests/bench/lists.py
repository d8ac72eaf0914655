"""Every list, filter and search over HTTP, on a small and a large database in one run."""

from __future__ import annotations

import argparse
import asyncio
import http.client
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from agentgrid.db import migrate
from agentgrid.servers import PostgresServer, TemporalServer
from tests.bench import cases, dataset
from tests.bench.cases import Case
from tests.bench.page import percentile
from tests.bench.stand import Api, api

TITLE = "Lists, filters, search and overview"
METHOD = (
    "Sequential requests that alternate between two API processes, one for each database; milliseconds measured by the client. Each case is one "
    "combination of route, filter and page (first, or far back): unselective, selective, matching nothing, several combined."
)
SMALL = 1_000
LARGE = 100_000
REPEATS = 30
WARM = 3
MIN_REQUESTS = 10
"""Minimum requests per route and round, also for routes with fewer cases: the p99 of a few requests would just be the slowest one."""

Timings = dict[Case, list[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument(
        "--size", type=int, default=LARGE, help=f"lists: runs in the large database (default {LARGE:,})"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"lists: requests per case (default {REPEATS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """Measure every route, and find the slowest cases."""
    async with TemporalServer(home, in_memory=True) as temporal, PostgresServer(home) as postgres:
        environment = {
            "AGENTGRID_TEMPORAL_ADDRESS": temporal.address,
            "AGENTGRID_HOME": str(home),
            "AGENTGRID_LOG_LEVEL": "error",
        }
        async with AsyncExitStack() as stack:
            targets: list[tuple[Api, list[Case]]] = []
            for size in (SMALL, arguments.size):
                dsn = await postgres.create_database(f"runs_{size}")
                await migrate.upgrade(dsn)
                await dataset.fill(dsn, size)
                connection = await asyncpg.connect(dsn)
                all_cases = cases.cases(await cases.samples(connection)) + cases.urgent() + cases.overview()
                await connection.close()
                targets.append((await stack.enter_async_context(api(environment, dsn)), all_cases))
            small, large = await asyncio.to_thread(time_requests, targets, arguments.repeats)
    figures = []
    for route in dict.fromkeys(case.route for case in large):
        selected = [case for case in large if case.route == route]
        of_large, of_small = _times(large, selected), _times(small, [case for case in small if case.route == route])
        figures.append(
            (
                f"`{route}`, {len(selected)} cases, p50 / p99 (ratio of p99 to that with {SMALL:,} runs)",
                f"{percentile(of_large, 0.5):.1f} / {percentile(of_large, 0.99):.1f} ({percentile(of_large, 0.99) / percentile(of_small, 0.99):.2f})",
            )
        )
    lists = [case for case in large if case.route != "/overview"]
    of_large, of_small = _times(large, lists), _times(small, [case for case in small if case.route != "/overview"])
    figures.append(
        (
            "all lists, p50 / p99 / longest",
            f"{percentile(of_large, 0.5):.1f} / {percentile(of_large, 0.99):.1f} / {max(of_large):.1f}",
        )
    )
    figures.append(
        (
            f"all lists, p50 ÷ p50 and p99 ÷ p99 with {SMALL:,} runs",
            f"{percentile(of_large, 0.5) / percentile(of_small, 0.5):.2f} and {percentile(of_large, 0.99) / percentile(of_small, 0.99):.2f}",
        )
    )
    for case in sorted(lists, key=lambda case: -percentile(large[case], 0.5))[:5]:
        figures.append((f"slowest at p50: `{case.route}` {case.name}", f"{percentile(large[case], 0.5):.1f}"))
    for case in sorted(lists, key=lambda case: -percentile(large[case], 0.99))[:5]:
        figures.append((f"slowest at p99: `{case.route}` {case.name}", f"{percentile(large[case], 0.99):.1f}"))
    return figures


def _times(timings: Timings, selected: Sequence[Case]) -> list[float]:
    return [milliseconds for case in selected for milliseconds in timings[case]]


def time_requests(targets: Sequence[tuple[Api, list[Case]]], repeats: int) -> list[Timings]:
    """Milliseconds of each request to each API.

    The APIs alternate case by case, and each round covers all cases, so that a temporary disturbance doesn't affect only one case or one API.
    """
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for server, _ in targets]
    timings: list[defaultdict[Case, list[float]]] = [defaultdict(list) for _ in targets]
    turns = list(zip(*(all_cases for _, all_cases in targets), strict=True))
    cases_of_route = Counter(turn[0].route for turn in turns)
    requests = [turn for turn in turns for _ in range(-(-MIN_REQUESTS // cases_of_route[turn[0].route]))]
    for number in range(WARM + repeats):
        for turn in requests:
            for (server, _), connection, times, case in zip(targets, connections, timings, turn, strict=True):
                milliseconds = _request(connection, server, case)
                if number >= WARM:
                    times[case].append(milliseconds)
    for connection in connections:
        connection.close()
    return [dict(times) for times in timings]


def _request(connection: http.client.HTTPConnection, server: Api, case: Case) -> float:
    started_at = time.perf_counter()
    connection.request("GET", case.target, headers=server.headers(case.who))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{case.target}: {answer.status} {body[:300]!r}")
    return (time.perf_counter() - started_at) * 1000
