"""The MCP server of one API process: lists and calls tools, each by requests to the API's own routes.

Stateless: whichever process a request reaches answers it with JSON, and no stream is opened. A tool call waits at most `WAIT_SECONDS` for the
run it started; after that, or once the run waits for people, it returns `working` and the client asks again. It never sends requests to the
client (no elicitation, no `input_required`), because the agent's own program would answer them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import mcp_types as types
import structlog
from fastapi import FastAPI
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from agentgrid.api import body
from agentgrid.api.errors import translated
from agentgrid.api.mcp import catalog, results
from agentgrid.api.mcp.inner import RouteRequest, RouteResponse, ask
from agentgrid.api.mcp.route_tools import RESULT, START, RouteTool, route_tools_of
from agentgrid.db.tables import ToolRow
from agentgrid.domain.activities import TOOL_PREFIX
from agentgrid.domain.principals import Principal
from agentgrid.errors import Unauthenticated

log = structlog.get_logger()

WAIT_SECONDS = 25.0
"""How long a call waits for its run. Less than most clients and proxies wait for a response: 60 s or 30 s."""
READY_SECONDS = 10.0
IDEMPOTENCY_KEY = "agentgrid/idempotency-key"
"""In a call's `_meta`, instead of the header. A request id can't be used: clients count from 0 in each of their processes."""
TAG = "mcp"
"""The tag of runs started by tool calls."""

INSTRUCTIONS = (
    "Tools of an AgentGrid installation. Each call is a durable run under the operators' policy. A call that takes long, or that a person "
    f"must approve, returns the status `{results.WORKING}` and a run_id: get its result with agentgrid_run_result. "
    "Only people can approve calls, in AgentGrid, never here."
)

Context = ServerRequestContext[Any, Request]


class Endpoint:
    """Answers MCP requests that have passed the checks of the route `/mcp`."""

    def __init__(self, app: FastAPI) -> None:
        self._route_tools = route_tools_of(app)
        server = Server(
            "agentgrid",
            version=app.version,
            title="AgentGrid",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
            # Without it, each call would list all tools first.
            get_tool_input_schema=lambda name: None,
        )
        # `door.py` has checked host and origin, and `routing.py` the body size.
        settings = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        self._sessions = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, security_settings=settings, max_request_body_size=body.MAX_BYTES
        )
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._serve(), name="agentgrid-mcp")

    async def _serve(self) -> None:
        async with self._sessions.run():
            self._ready.set()
            await asyncio.Event().wait()

    @property
    def ended(self) -> bool:
        """Whether it has stopped serving requests."""
        return self._task.done()

    async def close(self) -> None:
        """End all open requests."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def answer(self, request: Request) -> Response:
        """The response to a request whose body has been read and checked. Raises Unauthenticated if the key was revoked in the meantime."""
        async with asyncio.timeout(READY_SECONDS):
            await self._ready.wait()
        exchange = _Exchange(request)
        request.scope["state"]["mcp"] = exchange
        await self._sessions.handle_request(request.scope, exchange.receive, exchange.send)
        if exchange.revoked is not None:
            raise Unauthenticated(exchange.revoked)
        response = Response(bytes(exchange.raw), status_code=exchange.status)
        # All headers except those that `door.py` and the server add.
        response.raw_headers += [pair for pair in exchange.headers if pair[0] != b"content-length"]
        return response

    async def _list(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        exchange = _exchange(context)
        principal, cursor = exchange.principal, params.cursor if params is not None else None
        try:
            page = await catalog.page(exchange.request.app.state.plane, principal, after=cursor)
        except Exception as error:
            raise _internal(error) from None
        route_tools = [tool for tool in self._route_tools.values() if tool.open_to(principal)] if cursor is None else []
        return types.ListToolsResult(
            tools=[
                *map(_of_route, route_tools),
                *(_tool(row) for row in page.rows if row.name not in self._route_tools),
            ],
            next_cursor=page.next_cursor,
            ttl_ms=catalog.FRESH_MS,
            cache_scope="private",
        )

    async def _call(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        exchange, arguments = _exchange(context), params.arguments or {}
        key = (context.meta or {}).get(IDEMPOTENCY_KEY, exchange.idempotency_key)
        if key is not None and not isinstance(key, str):
            raise MCPError(code=types.INVALID_PARAMS, message=f"{IDEMPOTENCY_KEY} must be a string")
        try:
            route_tool = self._route_tools.get(params.name)
            if route_tool is not None:
                return await _use(exchange, route_tool, arguments, key)
            return await _run(exchange, params.name, arguments, key)
        except MCPError:
            raise
        except Exception as error:
            if (known := translated(error)) is None:
                raise _internal(error) from None
            return results.refusal(known)


class _Exchange:
    """A request from an MCP client and its response."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.principal: Principal = request.state.caller.principal
        self.idempotency_key: str | None = request.state.caller.idempotency_key
        self.revoked: str | None = None
        """Why the key is no longer valid. If set, this is the response, whatever the outcome of the request."""
        self.status, self.raw = 500, bytearray()
        self.headers: list[tuple[bytes, bytes]] = []
        self._given = False

    async def ask(self, call: RouteRequest) -> RouteResponse:
        """Call one of the API's own routes."""
        answer = await ask(self.request, call)
        if answer.status == 401:
            self.revoked = answer.value["detail"]
        return answer

    async def receive(self) -> Message:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": await self.request.body(), "more_body": False}
        return await self.request.receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.raw.extend(message.get("body", b""))


def _exchange(context: Context) -> _Exchange:
    assert context.request is not None  # all requests to this server arrive over HTTP
    exchange: _Exchange = context.request.scope["state"]["mcp"]
    return exchange


async def _use(
    exchange: _Exchange, route_tool: RouteTool, arguments: dict[str, Any], key: str | None
) -> types.CallToolResult:
    answer = await exchange.ask(route_tool.call(arguments, idempotency_key=key))
    return results.outcome(answer) if route_tool.route == RESULT else results.plain(answer)


async def _run(exchange: _Exchange, name: str, arguments: dict[str, Any], key: str | None) -> types.CallToolResult:
    """Start a run of this tool through `START`, and wait for its result."""
    if await catalog.find(exchange.request.app.state.plane, name) is None:
        raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {name[:100]}")
    start_body = {"input": arguments, "tags": [TAG]}
    started = await exchange.ask(
        RouteRequest(route=START, path={"name": TOOL_PREFIX + name}, body=start_body, idempotency_key=key)
    )
    if started.status == 404:
        return results.failure(f"This key may not call {name}.", started.value)
    if not started.ok:
        return results.problem(started, within="/input")
    query = (("wait", str(WAIT_SECONDS)), ("or_approval", "true"))
    return results.outcome(
        await exchange.ask(RouteRequest(route=RESULT, path={"run_id": started.value["run_id"]}, query=query))
    )


def _internal(error: Exception) -> MCPError:
    if (as_known := translated(error)) is not None:
        return MCPError(code=types.INTERNAL_ERROR, message=as_known.message)
    log.error("mcp_request_failed", exc_info=error)
    return MCPError(code=types.INTERNAL_ERROR, message="internal error; see the server's log")


def _of_route(tool: RouteTool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema,
        annotations=types.ToolAnnotations(read_only_hint=tool.reads, destructive_hint=False, open_world_hint=False),
    )


def _tool(row: ToolRow) -> types.Tool:
    hints = catalog.hints(row)
    return types.Tool(
        name=row.name,
        title=row.title,
        description=row.description or row.title,
        input_schema={"type": "object", **row.input_schema},
        output_schema=results.OUTCOME,
        annotations=types.ToolAnnotations(
            read_only_hint=hints.reads, destructive_hint=hints.destroys, idempotent_hint=row.idempotent
        ),
    )
