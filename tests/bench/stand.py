"""The benchmark's test stand: child processes, one per role so that CPU and memory can be measured separately, and principals with API keys."""

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
PRINCIPALS = (
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
    """The environment variables of every process in one stand."""
    return {
        "AGENTGRID_DATABASE_URL": dsn,
        "AGENTGRID_TEMPORAL_ADDRESS": temporal,
        "AGENTGRID_HOME": str(home),
        "AGENTGRID_LOG_LEVEL": "error",
    }


@contextmanager
def child(role: str, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Run a role of `tests.bench.processes` in a child process, and stop it on exit."""
    with process([sys.executable, "-m", "tests.bench.processes", role], environment) as started:
        yield started


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[psutil.Process]:
    """Run a command as a child process, and stop it on exit."""
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
    """A running `agentgrid api`, with the API keys of the principals that call it."""

    def __init__(self, process: psutil.Process, port: int, tokens: Mapping[str, str]) -> None:
        self.process = process
        self.port = port
        self.tokens = tokens

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def headers(self, who: str) -> dict[str, str]:
        """The authorisation header of this principal."""
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    @property
    def memory(self) -> float:
        """Resident memory in megabytes."""
        return self.process.memory_info().rss / 1e6


@asynccontextmanager
async def api(environment: Mapping[str, str], dsn: str) -> AsyncIterator[Api]:
    """Start `agentgrid api` on a migrated database, and wait until it is ready."""
    signing_key = Path(environment["AGENTGRID_HOME"]) / "signing.pem"
    if not signing_key.exists():
        signing.create(signing_key)
    tokens = await create_principals(dsn)
    port = free_port()
    variables = {
        **environment,
        "AGENTGRID_DATABASE_URL": dsn,
        "AGENTGRID_SIGNING_KEY_FILE": str(signing_key),
        "AGENTGRID_API_URL": f"http://127.0.0.1:{port}",
        # One client sends requests for minutes as fast as the API answers, which the rate limit would stop.
        "AGENTGRID_RATE_REQUESTS_PER_SECOND": "100000",
    }
    with process([sys.executable, "-m", "agentgrid.cli.main", "api", "--port", str(port)], variables) as started:
        await _wait_until_ready(port)
        yield Api(started, port, tokens)


async def create_principals(dsn: str) -> dict[str, str]:
    """Create the principals, each with a new API key. Returns the keys by principal."""
    engine = make_engine(dsn, pool_size=1)
    try:
        tokens = {}
        for principal in PRINCIPALS:
            await principals.put(engine, SETUP, principal)
            key = await api_keys.create(engine, SETUP, principal=principal.name, lifetime=timedelta(days=1))
            tokens[principal.name] = key.secret
        return tokens
    finally:
        await engine.dispose()


async def _wait_until_ready(port: int) -> None:
    """Wait until `/readyz` answers 200."""
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
