"""An MCP client for one server: its process or connection, listing and calls. Besides the API, the only importer of the package `mcp`.

A session lives in its own task, which opens and closes it; calls from other tasks share it in parallel. When it breaks, the next call opens
a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import anyio
import httpcore2
import httpx2
import mcp_types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError

from agentgrid.domain.secrets import known
from agentgrid.errors import ToolError
from agentgrid.sdk.secrets import current_store
from agentgrid.sources import leash
from agentgrid.sources.credentials import Credential, value_of
from agentgrid.sources.guard import Guard, GuardedBackend
from agentgrid.sources.pins import MAX_TOOLS, Server

CONNECT_SECONDS = 60.0
"""How long a server may take to start, negotiate a version, and list its tools: `uvx` may have to install it first."""
STOP_SECONDS = 10.0
MAX_PAGES = 50
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
MAX_ERROR_CHARACTERS = 1_000
MAX_IDLE_CONNECTIONS = 20
INHERITED = ("PATH", "HOME")

Message = Any


@dataclass(frozen=True, kw_only=True)
class Open:
    """An open session and its server's listing."""

    client: Client
    tools: tuple[Mapping[str, Any], ...]


class McpSession:
    """A session that is opened on first use.

    secrets: the credentials for environment variables, and for `auth`, that aren't simply the secret of the same name.
    """

    def __init__(
        self,
        server: Server,
        *,
        allowed: tuple[str, ...] = (),
        errors: TextIO | None = None,
        auth: Credential | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._guard = Guard(allowed)
        self._errors = errors
        self._auth = auth if auth is not None else server.auth
        self._on_change = on_change
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[Open] = asyncio.get_running_loop().create_future()
        # From the opening call, keep only the secret store: that call's run must not receive the log lines of later calls.
        context = contextvars.Context()
        context.run(current_store.set, current_store.get())
        self._task = asyncio.create_task(self._run(), name=f"mcp: {server.name}", context=context)

    @property
    def has_ended(self) -> bool:
        """Whether the session is over, so that a new one is needed."""
        return self._stop.is_set() or self._task.done()

    async def opened(self) -> Open:
        """The open session. Raises a retryable ToolError if the server can't be reached."""
        return await asyncio.shield(self._ready)

    async def listed(self) -> tuple[Mapping[str, Any], ...]:
        """Request the server's current listing. Raises ToolError."""
        opened = await self.opened()
        with self._translated():
            async with asyncio.timeout(CONNECT_SECONDS):
                return await _listing(opened.client)

    async def call(self, name: str, arguments: dict[str, Any], seconds: float) -> Any:
        """The tool's result as JSON. Raises ToolError: not retryable if the tool failed, retryable if the session broke."""
        opened = await self.opened()
        with self._translated():
            result = await opened.client.session.call_tool(name, arguments, read_timeout_seconds=seconds)
            return _json_of(result)

    async def close(self) -> None:
        """End the session, and the server's process."""
        self._stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
        if not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._task

    async def _run(self) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(CONNECT_SECONDS):
                    client = await stack.enter_async_context(await self._client(stack))
                    client.session.validate_tool_result = _unchecked  # type: ignore[method-assign]
                    tools = await _listing(client)
                self._ready.set_result(Open(client=client, tools=tools))
                await self._stop.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(self._unreachable(error))
                self._ready.exception()  # the first call raises it, if any
            if isinstance(error, asyncio.CancelledError):
                raise

    async def _client(self, stack: contextlib.AsyncExitStack) -> Client:
        transport = await (self._over_http(stack) if self._server.url else self._over_stdio(stack))
        return Client(transport, cache=None, message_handler=self._on_message)

    async def _over_stdio(self, stack: contextlib.AsyncExitStack) -> Any:
        secrets = {name: await value_of(name) for name in self._server.environment}
        names = ",".join((*INHERITED, *secrets))
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-I", "-S", str(Path(leash.__file__)), str(os.getpid()), names, "--", *self._server.command],
            env=secrets,
        )
        return stdio_client(parameters, errlog=self._errors or stack.enter_context(_discarded_log()))

    async def _over_http(self, stack: contextlib.AsyncExitStack) -> Any:
        url = httpx2.URL(self._server.url)
        # Only for a clear message: the address is checked again on connecting.
        await self._guard.addresses(url.host, url.port or (443 if url.scheme == "https" else 80))
        headers = {"accept-encoding": "identity", "user-agent": "agentgrid"}
        if self._auth is not None:
            headers["authorization"] = f"Bearer {await value_of(self._auth)}"
        http = httpx2.AsyncClient(
            transport=_Transport(self._guard),
            headers=headers,
            timeout=httpx2.Timeout(30.0, read=300.0),
            follow_redirects=False,
            trust_env=False,
        )
        return streamable_http_client(self._server.url, http_client=await stack.enter_async_context(http))

    async def _on_message(self, message: Message) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            self._on_change()

    @contextlib.contextmanager
    def _translated(self) -> Any:
        """Turn failures that end a session into ToolError."""
        try:
            yield
        except MCPError as error:
            if error.code == mcp_types.CONNECTION_CLOSED:
                self._stop.set()
                raise self._unreachable(error) from None
            if error.code == mcp_types.REQUEST_TIMEOUT:
                raise ToolError(f"the MCP server {self._server.name} did not answer in time", retryable=True) from None
            if self._server.url and error.code == mcp_types.INVALID_REQUEST:
                # Usually a server that was restarted and no longer knows the session: the call did not begin.
                self._stop.set()
                raise self._unreachable(error) from None
            why = known.beginning(str(error), MAX_ERROR_CHARACTERS)
            raise ToolError(f"the MCP server {self._server.name} refused the request: {why}") from None
        except (ValidationError, RuntimeError) as error:
            # These errors may quote what the server sent.
            raise ToolError(
                f"the MCP server {self._server.name} sent an invalid response: {type(error).__name__}"
            ) from None
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, httpx2.HTTPError, TimeoutError, OSError) as error:
            self._stop.set()
            raise self._unreachable(error) from None

    def _unreachable(self, error: BaseException) -> ToolError:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ToolError):
            return error
        why = known.beginning(str(error), MAX_ERROR_CHARACTERS) or type(error).__name__
        return ToolError(f"the MCP server {self._server.name} can't be reached: {why}", retryable=True)


def _discarded_log() -> TextIO:
    """Discards a server's own log, because it could write anything into the worker's."""
    return open(os.devnull, "w")


async def _unchecked(name: str, result: Any) -> None:
    """Replaces the library's check of results, which has unbounded cost and quotes the result. A tool's own check does neither."""


async def _listing(client: Client) -> tuple[Mapping[str, Any], ...]:
    """Every tool that the server lists, as JSON, sorted by name."""
    listed: dict[str, Mapping[str, Any]] = {}
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        for tool in page.tools:
            if tool.name in listed or len(listed) >= MAX_TOOLS:
                raise ToolError(f"the MCP server lists {tool.name[:100]!r} twice, or over {MAX_TOOLS} tools")
            listed[tool.name] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
        cursor = page.next_cursor
        if not cursor:
            return tuple(listed[name] for name in sorted(listed))
    raise ToolError(f"the MCP server's listing has over {MAX_PAGES} pages")


def _json_of(result: mcp_types.CallToolResult) -> Any:
    """The structured result; otherwise the text, if there is nothing else; otherwise the blocks."""
    texts = [block.text for block in result.content if isinstance(block, mcp_types.TextContent)]
    if result.is_error:
        raise ToolError(known.beginning("\n".join(texts), MAX_ERROR_CHARACTERS) or "the tool failed, without a message")
    if result.structured_content is not None:
        return result.structured_content
    if len(texts) == len(result.content):
        return "\n".join(texts)
    return [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]


class _Transport(httpx2.AsyncHTTPTransport):
    """HTTP to checked addresses only, with bounded responses."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=httpx2.create_ssl_context(),
            network_backend=GuardedBackend(guard, httpcore2.AnyIOBackend()),  # type: ignore[arg-type]
            # A call holds one as long as it runs, and the session holds another.
            max_connections=None,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request. An encoded response is rejected: it could decompress to any size."""
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("the response's encoding was not requested")
        # The server's own events arrive in one response that lasts as long as the session; each event is bounded elsewhere.
        if request.method != "GET":
            response.stream = _Bounded(response.stream)  # type: ignore[arg-type]
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        remaining = MAX_RESPONSE_BYTES
        async for chunk in self._stream:
            remaining -= len(chunk)
            if remaining < 0:
                raise httpx2.ReadError(f"the response has over {MAX_RESPONSE_BYTES:,} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def list_once(
    server: Server, *, allowed: tuple[str, ...], errors: TextIO | None
) -> tuple[Mapping[str, Any], ...]:
    """Open a session only to get the server's current listing. Raises ToolError."""
    session = McpSession(server, allowed=allowed, errors=errors)
    try:
        return (await session.opened()).tools
    finally:
        await session.close()
