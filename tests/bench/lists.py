"""Every list, filter and search over HTTP, against a small and a large installation in one run."""

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
from tests.bench.page import at
from tests.bench.stand import Api, api

TITLE = "Lists, filters, search and overview"
SAYS = (
    "Sequential requests that alternate between two API processes, one for each database; milliseconds measured by the client. Each case is one "
    "combination of route, filter and page (first, or far back): unselective, selective, matching nothing, several combined."
)
SMALL = 1_000
LARGE = 100_000
REPEATS = 30
WARM = 3
A_ROUND = 10
"""A route of fewer cases is asked so often a round all the same: the p99 of a few requests would be the longest of them."""

Taken = dict[Case, list[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much data, and how often each request is made."""
    parser.add_argument(
        "--size", type=int, default=LARGE, help=f"lists: runs in the large database (default {LARGE:,})"
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"lists: requests a case (default {REPEATS})")


async def measure(arguments: argparse.Namespace, home: Path) -> list[tuple[str, str]]:
    """The figures of every route, and the worst of all."""
    async with TemporalServer(home, in_memory=True) as temporal, PostgresServer(home) as postgres:
        environment = {
            "AGENTGRID_TEMPORAL_ADDRESS": temporal.address,
            "AGENTGRID_HOME": str(home),
            "AGENTGRID_LOG_LEVEL": "error",
        }
        async with AsyncExitStack() as stack:
            asking: list[tuple[Api, list[Case]]] = []
            for size in (SMALL, arguments.size):
                dsn = await postgres.create_database(f"runs_{size}")
                await migrate.upgrade(dsn)
                await dataset.fill(dsn, size)
                connection = await asyncpg.connect(dsn)
                wanted = cases.cases(await cases.samples(connection)) + cases.urgent() + cases.overview()
                await connection.close()
                asking.append((await stack.enter_async_context(api(environment, dsn)), wanted))
            small, large = await asyncio.to_thread(asked, asking, arguments.repeats)
    figures = []
    for route in dict.fromkeys(case.route for case in large):
        here = [case for case in large if case.route == route]
        mine, theirs = _all(large, here), _all(small, [case for case in small if case.route == route])
        figures.append(
            (
                f"`{route}`, {len(here)} cases, p50 / p99 (ratio of p99 to that with {SMALL:,} runs)",
                f"{at(mine, 0.5):.1f} / {at(mine, 0.99):.1f} ({at(mine, 0.99) / at(theirs, 0.99):.2f})",
            )
        )
    lists = [case for case in large if case.route != "/overview"]
    mine, theirs = _all(large, lists), _all(small, [case for case in small if case.route != "/overview"])
    figures.append(("all lists, p50 / p99 / longest", f"{at(mine, 0.5):.1f} / {at(mine, 0.99):.1f} / {max(mine):.1f}"))
    figures.append(
        (
            f"all lists, p50 ÷ p50 and p99 ÷ p99 with {SMALL:,} runs",
            f"{at(mine, 0.5) / at(theirs, 0.5):.2f} and {at(mine, 0.99) / at(theirs, 0.99):.2f}",
        )
    )
    for case in sorted(lists, key=lambda case: -at(large[case], 0.5))[:5]:
        figures.append((f"slowest at p50: `{case.route}` {case.name}", f"{at(large[case], 0.5):.1f}"))
    for case in sorted(lists, key=lambda case: -at(large[case], 0.99))[:5]:
        figures.append((f"slowest at p99: `{case.route}` {case.name}", f"{at(large[case], 0.99):.1f}"))
    return figures


def _all(taken: Taken, wanted: Sequence[Case]) -> list[float]:
    return [each for case in wanted for each in taken[case]]


def asked(asking: Sequence[tuple[Api, list[Case]]], repeats: int) -> list[Taken]:
    """Milliseconds of each request to each API.

    Case by case the APIs take turns, and rounds go over all cases, so that what disturbs the machine for a while hits no case and no API alone.
    """
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for server, _ in asking]
    taken: list[defaultdict[Case, list[float]]] = [defaultdict(list) for _ in asking]
    turns = list(zip(*(wanted for _, wanted in asking), strict=True))
    of_route = Counter(turn[0].route for turn in turns)
    a_round = [turn for turn in turns for _ in range(-(-A_ROUND // of_route[turn[0].route]))]
    for number in range(WARM + repeats):
        for turn in a_round:
            for (server, _), connection, spent, case in zip(asking, connections, taken, turn, strict=True):
                milliseconds = _ask(connection, server, case)
                if number >= WARM:
                    spent[case].append(milliseconds)
    for connection in connections:
        connection.close()
    return [dict(each) for each in taken]


def _ask(connection: http.client.HTTPConnection, server: Api, case: Case) -> float:
    began = time.perf_counter()
    connection.request("GET", case.target, headers=server.headers(case.who))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{case.target}: {answer.status} {body[:300]!r}")
    return (time.perf_counter() - began) * 1000
