"""A running API on real servers, and clients for each kind of principal."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from agentgrid.api.app import create_app
from agentgrid.cli.serving import options
from agentgrid.control import api_keys, principals, signing
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import signing_keys
from agentgrid.db.session import make_engine, reading
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.settings import Settings
from tests.conftest import Peopled, Temporal

SETUP = Caller(principal=Principal(name="system", kind=PrincipalKind.SYSTEM), route="setup")

PRINCIPALS = {
    principal.name: principal
    for principal in (
        Principal(name="operator", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR})),
        Principal(
            name="reviewer",
            kind=PrincipalKind.HUMAN,
            roles=frozenset({Role.APPROVER}),
            groups=frozenset({"support-leads"}),
        ),
        Principal(name="second", kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER})),
        Principal(name="both", kind=PrincipalKind.HUMAN, roles=frozenset({Role.APPROVER, Role.OPERATOR})),
        Principal(name="viewer", kind=PrincipalKind.HUMAN, roles=frozenset({Role.VIEWER})),
        Principal(name="developer", kind=PrincipalKind.HUMAN, roles=frozenset({Role.DEVELOPER})),
        Principal(name="auditor", kind=PrincipalKind.HUMAN, roles=frozenset({Role.AUDITOR})),
        Principal(name="admin", kind=PrincipalKind.HUMAN, roles=frozenset({Role.ADMIN})),
        Principal(name="nobody", kind=PrincipalKind.HUMAN),
        Principal(name="agent", kind=PrincipalKind.AGENT, roles=frozenset({Role.OPERATOR})),
        Principal(name="robot", kind=PrincipalKind.SERVICE, roles=frozenset({Role.OPERATOR, Role.ADMIN})),
    )
}


class Api:
    """A running API and the keys of all its callers."""

    def __init__(self, app: FastAPI, settings: Settings, tokens: dict[str, str]) -> None:
        self.app = app
        self.settings = settings
        self.tokens = tokens

    @property
    def plane(self) -> ControlPlane:
        return self.app.state.plane

    def client(self, name: str | None) -> httpx.AsyncClient:
        """A client acting as this principal; `None` for no key."""
        headers = {} if name is None else {"Authorization": f"Bearer {self.tokens[name]}"}
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8700", headers=headers, timeout=30)


async def make_tokens(dsn: str) -> dict[str, str]:
    """Create the principals and a key for each."""
    engine = make_engine(dsn, pool_size=2)
    try:
        tokens = {}
        for principal in PRINCIPALS.values():
            await principals.put(engine, SETUP, principal)
            key = await api_keys.create(engine, SETUP, principal=principal.name, lifetime=timedelta(days=1))
            tokens[principal.name] = key.secret
        return tokens
    finally:
        await engine.dispose()


@asynccontextmanager
async def running(settings: Settings, tokens: dict[str, str]) -> AsyncIterator[Api]:
    """The API, started and stopped the way a server does it."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Api(app, settings, tokens)


def settings_for(dsn: str, temporal: str, home: Path, **over: Any) -> Settings:
    """Settings with rate limits that no test exceeds by accident."""
    key = home / "signing.pem"
    if not key.exists():
        signing.create(key)
    return Settings(
        database_url=dsn,
        temporal_address=temporal,
        home=home,
        signing_key_file=key,
        temporal_ui_url="http://127.0.0.1:8233",
        **{
            "rate_requests_burst": 1_000_000,
            "rate_failures_burst": 1_000_000,
            "rate_sign_in_failures_per_minute": 1_000_000,
        }
        | over,
    )


@pytest.fixture(scope="module")
async def api(
    peopled: Peopled, module_postgres_dsn: str, temporal_server: Temporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """An API on a database shared by the tests of one module."""
    settings = settings_for(module_postgres_dsn, temporal_server.address, tmp_path_factory.mktemp("api"))
    async with running(settings, dict(peopled.tokens)) as api:
        await until_key_is_registered(api)
        yield api


async def until_key_is_registered(api: Api) -> None:
    """Wait until the API has registered its signing key: that happens concurrently with the first requests and publishes a policy."""

    async def registered() -> object:
        async with reading(api.plane.engine) as session:
            return await signing_keys.get(session, api.plane.signer.key_id)

    await eventually(registered)


@pytest.fixture
async def as_(api: Api) -> AsyncIterator[Callable[[str | None], httpx.AsyncClient]]:
    """A client that acts as the principal of this name."""
    async with AsyncExitStack() as stack:
        open_clients: dict[str | None, httpx.AsyncClient] = {}

        def client(name: str | None) -> httpx.AsyncClient:
            if name not in open_clients:
                open_clients[name] = api.client(name)
                stack.push_async_callback(open_clients[name].aclose)
            return open_clients[name]

        yield client


class _Server(uvicorn.Server):
    """uvicorn in the test process, without its signal handlers."""

    def capture_signals(self) -> AbstractContextManager[None]:
        return nullcontext()


@asynccontextmanager
async def listening(app: ASGIApp, *, port: int = 0, max_connections: int = 900) -> AsyncIterator[str]:
    """The application (already started) on a port, by default a free one, served like `agentgrid api`. Ends as if killed."""
    served = options(max_connections=max_connections)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, lifespan="off", **served)
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: _is(server.started))
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await serving
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # otherwise streams would continue, since the application keeps running


async def _is(value: object) -> object:
    return value


class Proxy:
    """A proxy to a server that can drop or freeze connections."""

    def __init__(self, target: str) -> None:
        self._host, port = target.rsplit(":", 1)
        self._target_port = int(port)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._asking, self._answering = asyncio.Event(), asyncio.Event()
        self.thaw()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Drop every connection, including frozen data."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._server = None

    def freeze(self, *, asking: bool = True) -> None:
        """Hold back responses and, with `asking`, requests too."""
        self._answering.clear()
        if asking:
            self._asking.clear()

    def thaw(self) -> None:
        self._asking.set()
        self._answering.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, back = await asyncio.open_connection(self._host, self._target_port)
        self._writers |= {writer, back}
        for source, sink, flowing in ((reader, back, self._asking), (onward, writer, self._answering)):
            task = asyncio.create_task(self._pump(source, sink, flowing))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        try:
            while data := await source.read(65536):
                await flowing.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


async def eventually(check: Callable[[], Awaitable[object]], *, seconds: float = 20) -> None:
    """Wait until the (async) check returns something truthy."""
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.05)
