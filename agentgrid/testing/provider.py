"""A local model provider, answered by a script: OpenAI's chat completions and Responses, and Anthropic's messages.

    async with Provider([Turn(calls=[Call("get_order", {"order_id": "A1"})]), Turn(text="It was shipped.")]) as provider:
        client = AsyncOpenAI(base_url=provider.base_url, api_key="test", max_retries=0)
        ...
        assert [request.answered for request in provider.requests] == [True, True]

Scripts and faults: `agentgrid.testing.turns`. What was received and billed: `agentgrid.testing.ledger`.
To run it by hand, in place of OpenAI: `python -m agentgrid.testing.provider --port 8399`.

It listens only on 127.0.0.1, accepts any API key, and records none.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from agentgrid.cli.serving import options
from agentgrid.testing.firstday import first_tools
from agentgrid.testing.ledger import Ledger, Record, billed
from agentgrid.testing.service import ProviderLimits, Service
from agentgrid.testing.turns import Script, TokenCounts

HOST = "127.0.0.1"
MAX_CONNECTIONS = 1000
WAIT_SECONDS = 20.0
API_KEY = "not-a-secret"
MODELS = ("gpt-4.1-mini", "claude-sonnet-4-5")
"""The models listed by default."""


class Provider:
    """A server in the test's event loop, running while its `async with` block does.

    script: the turns, or a function that returns them. log: a file for the records; an existing one is appended to. models: the models that
    exist; by default any model does. port: 0 picks a free port.

    On exit, requests in flight are dropped, and the first exception raised by the script is re-raised.
    """

    def __init__(
        self,
        script: Script = first_tools,
        *,
        log: Path | str | None = None,
        models: Sequence[str] | None = None,
        port: int = 0,
        limits: ProviderLimits | None = None,
    ) -> None:
        self._changed = asyncio.Event()
        self._ledger = Ledger(None if log is None else Path(log), self._notify)
        self._service = Service(
            script,
            self._ledger,
            models=MODELS if models is None else tuple(models),
            any_model=models is None,
            limits=limits or ProviderLimits(),
            drop=self._drop,
        )
        self._port = port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self._port))
        except BaseException:
            listener.close()
            self._ledger.close()
            raise
        self._port = listener.getsockname()[1]
        listener.listen(MAX_CONNECTIONS)  # from here on, clients can connect
        config = uvicorn.Config(self._service.app, lifespan="off", **options(max_connections=MAX_CONNECTIONS))
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listener]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._serving is not None:
            await self._service.stop()
            self._server.should_exit = self._server.force_exit = True
            await self._serving
        self._ledger.close()
        if kind is None and self._service.script_error is not None:
            raise self._service.script_error

    @property
    def url(self) -> str:
        """The server's address: the base URL for Anthropic's clients."""
        return f"http://{HOST}:{self._port}"

    @property
    def base_url(self) -> str:
        """The base URL for OpenAI's clients: the address with `/v1`."""
        return f"{self.url}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point the clients of both providers here."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": API_KEY,
        }

    @property
    def requests(self) -> Sequence[Record]:
        """The requests received, in order of arrival, each in its current state."""
        return tuple(self._ledger.records)

    @property
    def billed(self) -> TokenCounts:
        """The sum of all billed tokens, including answers that never reached their client."""
        return billed(self._ledger.records)

    async def wait(
        self, condition: Callable[[Sequence[Record]], bool], *, timeout_seconds: float = WAIT_SECONDS
    ) -> Sequence[Record]:
        """The requests, once they satisfy the condition. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            while not condition(self.requests):
                self._changed.clear()
                await self._changed.wait()
        return self.requests

    async def serve(self) -> None:
        """Wait until the server ends."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    def _notify(self) -> None:
        self._changed.set()

    def _drop(self, client: Any) -> None:
        """Close this client's connection after what has been sent."""
        connections = self._server.server_state.connections if self._server is not None else ()
        for connection in connections:
            if getattr(connection, "client", None) == client:
                connection.transport.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the surrounding process keeps its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m agentgrid.testing.provider",
        description="A local model provider, answered by a script. Speaks OpenAI's and Anthropic's protocols.",
    )
    parser.add_argument("--port", type=int, default=8399, help="0 picks a free port (default: %(default)s)")
    parser.add_argument("--log", type=Path, help="record every request in this JSON Lines file")
    parser.add_argument(
        "--script",
        metavar="MODULE:NAME",
        help="module:name of a list of turns or a function; by default the first tools are called, then an answer is argv",
    )
    return parser.parse_args(argv)


def _script(name: str | None) -> Script:
    if name is None:
        return first_tools
    module, _, attribute = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        script: Script = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(f"--script {name}: {error}. Use module:name") from error
    return script


async def _run(arguments: argparse.Namespace) -> None:
    async with Provider(_script(arguments.script), log=arguments.log, port=arguments.port) as provider:
        lines = (f"export {name}={value}" for name, value in provider.environment.items())
        sys.stdout.write(f"Listening on {provider.url}. Point clients here with:\n" + "\n".join(lines) + "\n")
        sys.stdout.flush()
        await provider.serve()


def main(argv: Sequence[str] | None = None) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(_arguments(argv)))


if __name__ == "__main__":
    main()
