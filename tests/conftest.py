"""Fixtures for real servers, one of each per session (per process under xdist), with fresh databases.

For faster iteration, leave servers running and set `AGENTGRID_TEST_TEMPORAL=127.0.0.1:7233` and
`AGENTGRID_TEST_POSTGRES=postgresql://superuser:password@127.0.0.1:5432/postgres`. They are then reused and not stopped.
"""

from __future__ import annotations

import fcntl
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
import psutil
import pytest
import structlog

from agentgrid.servers import PostgresServer, TemporalServer

if TYPE_CHECKING:
    from tests.faults.stage import Stage
    from tests.forks import Forks

# The time of one example depends more on the machine's other processes than on the code.
hypothesis.settings.register_profile("agentgrid", deadline=None)
hypothesis.settings.load_profile("agentgrid")


TEMPORAL_ENVIRONMENT = {"GOMAXPROCS": "1", "GOGC": "800", "GOMEMLIMIT": "3000MiB"}
"""Saves Temporal a fifth of its work: less frequent garbage collection, and no wake-ups between threads.

The limit must be far above the memory that half a suite leaves allocated (about 1 GB): near the limit, Temporal only collects garbage.
"""


def pytest_configure() -> None:
    for name, value in TEMPORAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # The default renders every frame's local variables, which takes a second per logged traceback.
    structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
    # A script's background processes and their children ignore Ctrl-C, which tests send.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


SLOW: tuple[tuple[str, ...], ...] = (
    ("tests/db/test_paging.py", "tests/api/test_document.py", "tests/api/test_figures.py"),
    ("tests/console/",),
    ("tests/e2e/", "tests/dev/", "tests/servers/"),
)
"""Tests that share what takes longest to create, or take longest themselves: each group is for one process."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each group of slow tests at the start of one process's share, so that its fixtures are created once and no slow test is left for the end.

    xdist gives each process a part of the list, in order, and later moves tests from the ends of the longest parts. Tests that kill or freeze a
    whole installation are a group of their own, for the first process: one installation is enough.
    """
    groups: list[list[pytest.Item]] = [[] for _ in range(len(SLOW) + 2)]
    for item in items:
        if "stage" in getattr(item, "fixturenames", ()):
            groups[0].append(item)
        else:
            slow = (number for number, prefixes in enumerate(SLOW, start=1) if item.nodeid.startswith(prefixes))
            groups[next(slow, -1)].append(item)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    first = min(processes, len(SLOW) + 1)  # the last group, of all other tests, fills the shares
    rest = [item for group in groups[first:] for item in group]
    ordered: list[pytest.Item] = []
    for process, group in enumerate(groups[:first]):
        share = (len(items) - len(ordered)) // (processes - process)
        fill = max(share - len(group), 0)
        ordered += group + rest[:fill]
        rest = rest[fill:]
    items[:] = ordered + rest


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the installation's programs if the next test doesn't need them: even idle, they take a seventh of a core. `healed` restarts them."""
    stage = getattr(item, "funcargs", {}).get("shared_stage")
    if stage is not None and "shared_stage" not in getattr(nextitem, "fixturenames", ()):
        for program in stage.programs.values():
            program.end()


def pytest_collection_finish() -> None:
    """Collect garbage less often, and exclude modules and tests, which live to the end: with the defaults it takes a seventh of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


@dataclass(frozen=True, kw_only=True)
class Temporal:
    """A running Temporal. Tests are isolated by their own task queues and workflow ids."""

    address: str


class Postgres:
    """A running PostgreSQL, in which tests create databases."""

    def __init__(self, admin: asyncpg.Connection, dsn: str) -> None:
        self._admin = admin
        self._server = dsn.rsplit("/", 1)[0]

    def dsn_of(self, database: str) -> str:
        return f"{self._server}/{database}"

    async def create(self, *, template: str = "template1") -> str:
        """Create a database as a copy of the template. Returns its unique name."""
        name = f"test_{uuid.uuid4().hex}"
        await self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop(self, name: str) -> None:
        await self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def worker_login(
    dsn: str, *, grid: str = "*", queues: tuple[str, ...] = ("*",), name: str = "", **overrides: Any
) -> str:
    """Create a worker's login, bound to this grid and these queues. Returns its DSN."""
    from agentgrid.db import logins

    name = name or f"worker_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(dsn)
    try:
        await logins.put_worker(
            admin, name, logins.Binding(grid=grid, queues=queues, **overrides), password="for-this-test"
        )
    finally:
        await admin.close()
    return f"postgresql://{name}:for-this-test@{dsn.rsplit('@', 1)[1]}"


async def control_login(dsn: str) -> str:
    """Create a login like the API's and the projector's. Returns its DSN."""
    from agentgrid.db import logins

    name = f"control_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(dsn)
    try:
        await logins.put_control(admin, name, password="for-this-test")
    finally:
        await admin.close()
    return f"postgresql://{name}:for-this-test@{dsn.rsplit('@', 1)[1]}"


MEMORY = Path("/dev/shm")
"""A file system in memory. Each test creates and drops databases of 300 files; on ext4, which looks for inodes that were not deleted just before, that
took a twentieth of the suite's CPU time."""


def has_room(folder: Path) -> bool:
    """Whether the databases of all test processes fit, with memory to spare: containers often limit it to 64 MB."""
    gigabyte = 1024**3
    return (
        folder.is_dir()
        and shutil.disk_usage(folder).free > 8 * gigabyte
        and psutil.virtual_memory().available > 12 * gigabyte
    )


def locked_folder(parent: Path) -> tuple[Path, int]:
    """Create a folder for this process, with a lock that the kernel releases however the process ends. Returns the folder and the lock's descriptor."""
    unlocked = tempfile.mkdtemp(prefix="agentgrid-unlocked-", dir=parent)
    lock = os.open(unlocked, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Renamed only now, so that `remove_abandoned` of another process never finds it unlocked.
    return Path(unlocked).rename(unlocked.replace("unlocked", "tests")), lock


def remove_abandoned(parent: Path) -> None:
    """Remove this user's folders whose processes were killed: in memory, they would take up space until the next boot."""
    for folder in parent.glob("agentgrid-tests-*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another user's, or another process is removing it
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A temporary folder for the session's servers, accessible to the account that PostgreSQL uses when tests run as root."""
    remove_abandoned(MEMORY)
    home, lock = locked_folder(MEMORY if has_room(MEMORY) else Path(tempfile.gettempdir()))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home)
    os.close(lock)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """A fork server that has imported the command line's libraries."""
    from tests.forks import Forks  # imported here, because few tests need it

    with Forks() as server:
        yield server


@pytest.fixture(scope="session")
async def temporal_server(server_home: Path) -> AsyncIterator[Temporal]:
    """An in-memory Temporal without UI."""
    if running := os.environ.get("AGENTGRID_TEST_TEMPORAL"):
        yield Temporal(address=running)
        return
    async with TemporalServer(server_home, in_memory=True) as server:
        yield Temporal(address=server.address)


@pytest.fixture(scope="session")
async def postgres_server(server_home: Path) -> AsyncIterator[Postgres]:
    """A PostgreSQL that doesn't wait for the disk."""
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
    """The DSN of an empty database for this test only."""
    name = await postgres_server.create()
    yield postgres_server.dsn_of(name)
    await postgres_server.drop(name)


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: Postgres) -> AsyncIterator[str]:
    """The name of a migrated database. Copy it; never connect to it."""
    from agentgrid.db import migrate  # imported here, because tests without tables don't need it

    name = await postgres_server.create()
    await migrate.upgrade(postgres_server.dsn_of(name))
    yield name
    await postgres_server.drop(name)


@pytest.fixture
async def postgres_dsn(postgres_server: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """The DSN of a migrated database for this test only."""
    name = await postgres_server.create(template=migrated_template)
    yield postgres_server.dsn_of(name)
    await postgres_server.drop(name)


@dataclass(frozen=True, kw_only=True)
class Peopled:
    """A migrated database with principals. Copy it; never connect to it."""

    template: str
    tokens: dict[str, str]
    """An API key for each principal."""


@pytest.fixture(scope="session")
async def peopled(postgres_server: Postgres, migrated_template: str) -> AsyncIterator[Peopled]:
    """A database with the principals of `tests.api.conftest`, created once: it takes a new process a second, and a fifth of one after that."""
    from tests.api.conftest import make_tokens  # imported here, because tests without the API don't need it

    name = await postgres_server.create(template=migrated_template)
    yield Peopled(template=name, tokens=await make_tokens(postgres_server.dsn_of(name)))
    await postgres_server.drop(name)


@pytest.fixture(scope="module")
async def module_postgres_dsn(postgres_server: Postgres, peopled: Peopled) -> AsyncIterator[str]:
    """The DSN of a migrated database with principals, shared by the tests of one module."""
    name = await postgres_server.create(template=peopled.template)
    yield postgres_server.dsn_of(name)
    await postgres_server.drop(name)


@pytest.fixture(scope="session")
async def shared_stage() -> AsyncIterator[Stage]:
    """An installation with two projectors and one of each other program, all in separate processes."""
    from tests.faults.stage import new_stage  # imported here, because few tests need it

    async with new_stage(durable=False, projectors=2) as stage:
        yield stage


@pytest.fixture
async def stage(shared_stage: Stage) -> Stage:
    """The installation with all programs running."""
    await shared_stage.healed()
    return shared_stage
