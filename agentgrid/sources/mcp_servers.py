"""`ag.mcp`: an MCP server as a source of reviewed tools.

A worker compares the server's listing with its pin on first use, when the server reports that its tools have changed, and every minute. If
the listing differs, the server is held: its tools fail until the new listing has been reviewed.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from agentgrid.domain.policies import Risk
from agentgrid.domain.secrets import known
from agentgrid.errors import ToolError
from agentgrid.sdk.json_tools import Declared, JsonTool
from agentgrid.sdk.tools import RiskName
from agentgrid.sdk.toolsets import SourceReport, Toolset, near, tool_name
from agentgrid.sources import pins
from agentgrid.sources.credentials import Credential, name_fault
from agentgrid.sources.pins import Pin, PinUnusable, Server

if TYPE_CHECKING:
    from agentgrid.sources.mcp_client import McpSession

MAX_CHECK_AGE_SECONDS = 60.0
"""Maximum age of a comparison with the pin."""
CLIENT = "agentgrid.sources.mcp_client"
MAX_DESCRIPTION = 4_000
MAX_SHOWN = 5
EXTRA = "MCP servers need the extra agentgrid[mcp]: install it"


class McpToolset(Toolset):
    """The tools of an MCP server, and its session."""

    def __init__(self, pin: Pin, *, allow: Sequence[str], auth: Credential | None, **fields: Any) -> None:
        super().__init__(pin.server.name, **fields)
        self.pin = pin
        self._own = tuple(allow)
        self._auth = auth
        self._allowed: tuple[str, ...] | None = None
        self._workers = 0
        self._session: tuple[asyncio.AbstractEventLoop, asyncio.Lock, McpSession | None] | None = None
        self._checked_at = float("-inf")
        self._held: str | None = None
        self._listed: Sequence[Mapping[str, Any]] = ()
        self._failed: tuple[float, SourceReport] | None = None
        self._first: asyncio.Task[None] | None = None

    async def start(self, allowed_hosts: Sequence[str]) -> None:
        """Compare the server with its pin in the background, so that a worker's log shows problems before a call fails."""
        self._workers += 1
        self._allowed = tuple(allowed_hosts)
        if self._first is None and len(self):
            self._first = asyncio.create_task(self._look(), name=f"mcp: {self.name}, first comparison")

    async def stop(self) -> None:
        """End the session, and the server's process."""
        self._workers -= 1
        if self._workers > 0:
            return
        if self._first is not None:
            self._first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._first
            self._first = None
        if self._session is not None and self._session[2] is not None:
            await self._session[2].close()
        self._session = None

    async def called(self, name: str, arguments: dict[str, Any], seconds: float) -> Any:
        """Call a tool, if the server matches its pin. Raises ToolError."""
        session = await self._reviewed()
        return await session.call(name, arguments, seconds)

    async def look(self) -> SourceReport | None:
        """The server's current state. An unreachable server is tried again after a minute."""
        if not len(self):
            return None
        if self._failed is not None and time.monotonic() - self._failed[0] < MAX_CHECK_AGE_SECONDS:
            return self._failed[1]
        self._failed = None
        report = SourceReport(
            name=self.name,
            reached_by=self.pin.server.program,
            tools=tuple(tool.name for tool in self.tools),
            state="ready",
        )
        try:
            await self._reviewed()
        except ToolError as error:
            if self._held is not None and error.message == self._held:
                return replace(
                    report, state="held", reason=error.message, changes=pins.changed(self.pin.tools, self._listed)
                )
            return self._unreachable(report, error.message)
        except Exception as error:
            _warn(self.name, error)
            # The error may contain anything, so its text goes only to the log, which only the worker's operators read.
            return self._unreachable(report, f"the comparison failed: {type(error).__name__}; see the worker's log")
        return report

    def _unreachable(self, report: SourceReport, reason: str) -> SourceReport:
        report = replace(report, state="unreachable", reason=reason)
        self._failed = (time.monotonic(), report)
        return report

    async def _look(self) -> None:
        try:
            await self._reviewed()
        except Exception as error:
            _warn(self.name, error)

    async def _reviewed(self) -> McpSession:
        """The session, once a recent comparison with the pin has passed. Raises ToolError."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._session[0] is not loop:
            self._session = (loop, asyncio.Lock(), None)
        lock = self._session[1]
        async with lock:
            session = self._session[2]
            if session is None or session.has_ended:
                session = await self._opened()
                self._session = (loop, lock, session)
                # A call that is cancelled while waiting leaves a session that was never compared.
                self._forget()
                self._compare((await session.opened()).tools)
            elif time.monotonic() - self._checked_at > MAX_CHECK_AGE_SECONDS:
                self._compare(await session.listed())
        if self._held is not None:
            raise ToolError(self._held)
        return session

    async def _opened(self) -> McpSession:
        try:
            # In a thread: the import takes a second, and the worker's event loop must keep running.
            client = await asyncio.to_thread(importlib.import_module, CLIENT)
        except ModuleNotFoundError:
            raise ToolError(EXTRA) from None
        allowed = self._allowed
        if allowed is None:
            from agentgrid.settings import Settings

            allowed = Settings.load().allowed_hosts
        made: McpSession = client.McpSession(
            self.pin.server, allowed=(*self._own, *allowed), auth=self._auth, on_change=self._forget
        )
        return made

    def _forget(self) -> None:
        """Make the next call compare again."""
        self._checked_at = float("-inf")

    def _compare(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._checked_at = time.monotonic()
        self._held = None
        if pins.digest_of(tools) != self.pin.digest:
            self._listed = tools
            changed = pins.changes(self.pin.tools, tools)
            shown = ", ".join(
                f"{known.beginning(name, 100)} {what}" for name, what in list(changed.items())[:MAX_SHOWN]
            )
            more = f" and {len(changed) - MAX_SHOWN} more" if len(changed) > MAX_SHOWN else ""
            self._held = (
                f"the MCP server {self.name} is held: its listing differs from the reviewed one ({shown}{more}). "
                f"See `agentgrid mcp diff {self.name}`; `agentgrid mcp accept {self.name}` pins the new listing"
            )


def _warn(server: str, error: Exception) -> None:
    from agentgrid.logging import get_logger

    get_logger().warning("mcp_server_not_used", server=server, error=str(error) or type(error).__name__)


def mcp(
    name: str,
    *,
    command: Sequence[str] | None = None,
    url: str | None = None,
    include: Sequence[str] | None = None,
    risk: Mapping[str, RiskName | Risk] | None = None,
    auth: Credential | None = None,
    timeout: timedelta = timedelta(seconds=60),
    retries: int = 0,
    allow: Sequence[str] = (),
) -> Toolset:
    """Tools `<name>_<tool>` from an MCP server, as reviewed in `mcp/<name>.json`. Assign the result to a module-level variable.

    `agentgrid mcp add` creates that file. command, url: how to reach the server; must be the same as in the file. include: the tools to use; all by
    default. risk: by the server's name for the tool, overriding the file; a tool with neither is destructive. auth: the secret for a server with
    a URL, overriding the file. timeout: maximum duration of a call. retries: attempts after the first. allow: private hosts that may be reached.

    A call takes the tool's arguments as one object, and returns the structured result, or the text.
    """
    declared = Declared.at(sys._getframe(1))
    pin, faults = _read(declared, name)
    if pin is None:
        empty = Pin(server=Server(name=name, command=("none",)), tools=())
        return McpToolset(empty, allow=(), auth=None, tools={}, faults=faults, declared=declared)
    if (command is not None and tuple(command) != pin.server.command) or (url is not None and url != pin.server.url):
        faults.append(
            f"its pin was made with {pin.server.shown!r}: run `agentgrid mcp add {name}` again with the command or URL in code"
        )
    if auth is not None and (wrong := name_fault(auth)) is not None:
        faults.append(wrong)
    listed = {str(tool["name"]): tool for tool in pin.tools}
    for option, names in {"include": include or (), "risk": risk or ()}.items():
        faults += [f"{option} names {tool!r}, which the server does not list" for tool in names if tool not in listed]
    toolset = McpToolset(pin, allow=allow, auth=auth, tools={}, faults=faults, declared=declared)
    for listed_name, tool in listed.items():
        if include is None or listed_name in include:
            tool_risk = (risk or {}).get(listed_name) or pin.risks.get(listed_name, Risk.DESTRUCTIVE)
            toolset.add(listed_name, _tool(toolset, tool, risk=tool_risk, timeout=timeout, retries=retries))
    return toolset


def _read(declared: Declared, name: str) -> tuple[Pin | None, list[str]]:
    path = near(declared, pins.path_of(name))
    try:
        pin = pins.read(path)
    except FileNotFoundError:
        how = f"agentgrid mcp add {name} -- COMMAND..."
        return None, [f"there is no reviewed listing at {path}: run `{how}`, or with --url instead of the command"]
    except (PinUnusable, OSError) as error:
        return None, [str(error)]
    if pin.server.name != name:
        return None, [f"{path} is the pin of another server, {pin.server.name!r}"]
    return pin, [] if importlib.util.find_spec("mcp") is not None else [EXTRA]


def _tool(
    toolset: McpToolset, listed: Mapping[str, Any], *, risk: Risk | RiskName, timeout: timedelta, retries: int
) -> JsonTool:
    name, server = str(listed["name"]), toolset.pin.server
    # One second less than the attempt's timeout, so that the error names the server.
    seconds = max(1.0, timeout.total_seconds() - 1.0)

    async def handle(arguments: dict[str, Any]) -> Any:
        return await toolset.called(name, arguments, seconds)

    schema, result = listed.get("inputSchema"), listed.get("outputSchema")
    return JsonTool(
        handle,
        name=tool_name(server.name, name),
        # The server's own title could mislead an approver.
        title=f"{server.name}: {name[:100]}",
        description=str(listed.get("description") or "")[:MAX_DESCRIPTION],
        input_schema=dict(schema) if isinstance(schema, Mapping) else {"type": "object"},
        output_schema=dict(result) if isinstance(result, Mapping) else None,
        risk=risk,
        timeout=timeout,
        retries=retries,
        pin={"mcp": [server.name, list(server.command), server.url], "listed": dict(listed)},
        declared=toolset.declared,
        origin=f"{name[:100]} of the MCP server {server.name}",
    )
