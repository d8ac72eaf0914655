"""The real servers that tests use, one of each per session (per process under xdist), and fresh databases in them.

For quick iteration leave servers running and name them: `AGENTGRID_TEST_TEMPORAL=127.0.0.1:7233` and
`AGENTGRID_TEST_POSTGRES=postgresql://superuser:password@127.0.0.1:5432/postgres`. They are then reused, not stopped.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis
import pytest
import structlog

from agentgrid.servers import PostgresServer, TemporalServer

if TYPE_CHECKING:
    from tests.faults.stage import Stage
    from tests.forks import Forks

# How long one example takes says more about the other processes of the machine than about the code.
hypothesis.settings.register_profile("agentgrid", deadline=None)
hypothesis.settings.load_profile("agentgrid")


TEMPORAL_ENVIRONMENT = {"GOMAXPROCS": "1", "GOGC": "800", "GOMEMLIMIT": "3000MiB"}
"""A fifth less work for Temporal: it collects garbage less often, and its threads don't wake each other up.

The limit must be far above what half a suite leaves in its memory (about 1 GB): near it, Temporal only collects garbage.
"""


def pytest_configure() -> None:
    for name, value in TEMPORAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The default renders every frame's local variables, which takes a second for each traceback that is logged.
    structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
    # A background process of a script ignores Ctrl-C, as do its children. Tests send it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


FIRST = ("tests/db/test_paging.py", "tests/api/test_document.py", "tests/api/test_figures.py")
"""Modules whose tests share what takes longest to make, or take longest themselves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest at the start of a process's share, where no other process takes it over: only there it is made once.

    xdist gives each process a part of the list, in order, and then moves tests from the ends of the longest parts. What kills and freezes a whole
    installation is the first process's, so that one installation is enough.
    """
    items.sort(key=lambda item: "stage" not in getattr(item, "fixturenames", ()))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = len(items) // processes + 1
    for each, module in enumerate(FIRST[: processes - 1], start=1):
        long = [item for item in items if item.nodeid.startswith(module)]
        items[:] = [item for item in items if not item.nodeid.startswith(module)]
        items[each * share : each * share] = long


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The installation's programs end where the next test needs none: doing nothing, they take a seventh of a core. `healed` starts them again."""
    stage = getattr(item, "funcargs", {}).get("shared_stage")
    if stage is not None and "shared_stage" not in getattr(nextitem, "fixturenames", ()):
        for program in stage.programs.values():
            program.end()


def pytest_collection_finish() -> None:
    """Collect garbage less often, and not among modules and tests, which stay: with the defaults it takes a seventh of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


@dataclass(frozen=True, kw_only=True)
class Temporal:
    """A running Temporal; tests keep apart by their own task queues and workflow ids."""

    address: str


class Postgres:
    """A running PostgreSQL in which to make databases."""

    def __init__(self, admin: asyncpg.Connection, dsn: str) -> None:
        self._admin = admin
        self._server = dsn.rsplit("/", 1)[0]

    def dsn_of(self, database: str) -> str:
        return f"{self._server}/{database}"

    async def create(self, *, template: str = "template1") -> str:
        """A new database of a name of its own, as a copy of the template. Its name."""
        name = f"test_{uuid.uuid4().hex}"
        await self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop(self, name: str) -> None:
        await self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def worker_login(
    dsn: str, *, grid: str = "*", queues: tuple[str, ...] = ("*",), name: str = "", **over: Any
) -> str:
    """The DSN of a worker's login, bound to this grid and these queues."""
    from agentgrid.db import logins

    name = name or f"worker_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(dsn)
    try:
        await logins.put_worker(admin, name, logins.Binding(grid=grid, queues=queues, **over), password="for-this-test")
    finally:
        await admin.close()
    return f"postgresql://{name}:for-this-test@{dsn.rsplit('@', 1)[1]}"


async def control_login(dsn: str) -> str:
    """The DSN of a login as the API and the projector have it."""
    from agentgrid.db import logins

    name = f"control_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(dsn)
    try:
        await logins.put_control(admin, name, password="for-this-test")
    finally:
        await admin.close()
    return f"postgresql://{name}:for-this-test@{dsn.rsplit('@', 1)[1]}"


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A folder for the session's servers, short-lived and open to the account that PostgreSQL runs as under root."""
    home = Path(tempfile.mkdtemp(prefix="agentgrid-tests-"))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Processes that have the libraries of the command line imported."""
    from tests.forks import Forks  # not at the top: few tests need it

    with Forks() as server:
        yield server


@pytest.fixture(scope="session")
async def temporal_server(server_home: Path) -> AsyncIterator[Temporal]:
    """Temporal, in memory and without its UI."""
    if running := os.environ.get("AGENTGRID_TEST_TEMPORAL"):
        yield Temporal(address=running)
        return
    async with TemporalServer(server_home, in_memory=True) as server:
        yield Temporal(address=server.address)


@pytest.fixture(scope="session")
async def postgres_server(server_home: Path) -> AsyncIterator[Postgres]:
    """PostgreSQL that doesn't wait for the disk."""
    if running := os.environ.get("AGENTGRID_TEST_POSTGRES"):
        admin = await asyncpg.connect(running)
        yield Postgres(admin, running)
        await admin.close()
        return
    async with PostgresServer(server_home, durable=False) as server:
        admin = await asyncpg.connect(server.dsn)
        yield Postgres(admin, server.dsn)
        await admin.close()
    shutil.rmtree(server.data)


@pytest.fixture
async def empty_database(postgres_server: Postgres) -> AsyncIterator[str]:
    """The DSN of a database with nothing in it, for this test alone."""
    name = await postgres_server.create()
    yield postgres_server.dsn_of(name)
    await postgres_server.drop(name)


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: Postgres) -> AsyncIterator[str]:
    """The name of a migrated database, to be copied and never connected to."""
    from agentgrid.db import migrate  # not at the top: tests that need no tables shouldn't pay for them

    name = await postgres_server.create()
    await migrate.upgrade(postgres_server.dsn_of(name))
    yield name
    await postgres_server.drop(name)


@pytest.fixture
async def postgres_dsn(postgres_server: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """The DSN of a migrated database, for this test alone."""
    name = await postgres_server.create(template=migrated_template)
    yield postgres_server.dsn_of(name)
    await postgres_server.drop(name)


@dataclass(frozen=True, kw_only=True)
class Peopled:
    """A migrated database with principals, to be copied and never connected to."""

    template: str
    tokens: dict[str, str]
    """A key for each principal."""


@pytest.fixture(scope="session")
async def peopled(postgres_server: Postgres, migrated_template: str) -> AsyncIterator[Peopled]:
    """The principals of `tests.api.conftest`, made once: a second of work for a new process, a fifth of one after that."""
    from tests.api.conftest import make_tokens  # not at the top: tests that need no API shouldn't pay for it

    name = await postgres_server.create(template=migrated_template)
    yield Peopled(template=name, tokens=await make_tokens(postgres_server.dsn_of(name)))
    await postgres_server.drop(name)


@pytest.fixture(scope="module")
async def module_postgres_dsn(postgres_server: Postgres, peopled: Peopled) -> AsyncIterator[str]:
    """The DSN of a migrated database with principals that the tests of one module share."""
    name = await postgres_server.create(template=peopled.template)
    yield postgres_server.dsn_of(name)
    await postgres_server.drop(name)


@pytest.fixture(scope="session")
async def shared_stage() -> AsyncIterator[Stage]:
    """An installation with two projectors and one of everything else, each a process of its own."""
    from tests.faults.stage import new_stage  # not at the top: few tests need it

    async with new_stage(durable=False, projectors=2) as stage:
        yield stage


@pytest.fixture
async def stage(shared_stage: Stage) -> Stage:
    """The installation with everything running."""
    await shared_stage.healed()
    return shared_stage
