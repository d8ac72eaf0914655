"""What the parts measure on: child processes, each alone so that its CPU and memory are its own, and people with keys."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import psutil

from agentgrid.control import api_keys, principals, signing
from agentgrid.control.plane import Caller
from agentgrid.db.session import make_engine
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.servers.child import free_port

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 20
READY_SECONDS = 60

SETUP = Caller(principal=Principal(name="system", kind=PrincipalKind.SYSTEM), route="setup")
PEOPLE = (
    Principal(
        name="operator",
        kind=PrincipalKind.HUMAN,
        roles=frozenset({Role.OPERATOR, Role.DEVELOPER, Role.AUDITOR, Role.ADMIN}),
    ),
    Principal(
        name="reviewer",
        kind=PrincipalKind.HUMAN,
        roles=frozenset({Role.APPROVER}),
        groups=frozenset({"support-leads", "team-3"}),
    ),
)


def configuration(home: Path, temporal: str, dsn: str) -> dict[str, str]:
    """What configures every process of one stand."""
    return {
        "AGENTGRID_DATABASE_URL": dsn,
        "AGENTGRID_TEMPORAL_ADDRESS": temporal,
        "AGENTGRID_HOME": str(home),
        "AGENTGRID_LOG_LEVEL": "error",
    }


@contextmanager
def child(role: str, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A process of `tests.bench.processes`; stopped at the end."""
    with process([sys.executable, "-m", "tests.bench.processes", role], environment) as started:
        yield started


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A measured process; stopped at the end."""
    started = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(started.pid)
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()


class Api:
    """A running `agentgrid api`, and the keys of those who may call it."""

    def __init__(self, process: psutil.Process, port: int, tokens: Mapping[str, str]) -> None:
        self.process = process
        self.port = port
        self.tokens = tokens

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def headers(self, who: str) -> dict[str, str]:
        """What a request of this principal carries."""
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    @property
    def memory(self) -> float:
        """Megabytes that it holds."""
        return self.process.memory_info().rss / 1e6


@asynccontextmanager
async def api(environment: Mapping[str, str], dsn: str) -> AsyncIterator[Api]:
    """`agentgrid api` over the migrated database, ready."""
    signing_key = Path(environment["AGENTGRID_HOME"]) / "signing.pem"
    if not signing_key.exists():
        signing.create(signing_key)
    tokens = await people(dsn)
    port = free_port()
    configured = {
        **environment,
        "AGENTGRID_DATABASE_URL": dsn,
        "AGENTGRID_SIGNING_KEY_FILE": str(signing_key),
        "AGENTGRID_API_URL": f"http://127.0.0.1:{port}",
        # One client sends requests as fast as they are answered, for minutes, which the rate limit exists to prevent.
        "AGENTGRID_RATE_REQUESTS_PER_SECOND": "100000",
    }
    with process([sys.executable, "-m", "agentgrid.cli.main", "api", "--port", str(port)], configured) as started:
        await _ready(port)
        yield Api(started, port, tokens)


async def people(dsn: str) -> dict[str, str]:
    """Make the principals, and a new key for each."""
    engine = make_engine(dsn, pool_size=1)
    try:
        tokens = {}
        for principal in PEOPLE:
            await principals.put(engine, SETUP, principal)
            key = await api_keys.create(engine, SETUP, principal=principal.name, lifetime=timedelta(days=1))
            tokens[principal.name] = key.secret
        return tokens
    finally:
        await engine.dispose()


async def _ready(port: int) -> None:
    """Wait until `/readyz` says that the database can be asked."""
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
