"""`agentgrid mcp`: review the tools of MCP servers and pin them in the project."""

from __future__ import annotations

import asyncio
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import indented, put, stdout
from agentgrid.cli.session import OutputOption, YesOption, confirm, reporting
from agentgrid.cli.tables import TextTable, fixed, text
from agentgrid.cli.text import safe, safe_json, safe_lines

if TYPE_CHECKING:
    from agentgrid.sources.pins import Pin, Server

app = make_group()

ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="The server's name in this project.")]


@app.command()
def add(
    name: ServerName,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="The command that starts the server.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The URL of a server that uses streamable HTTP.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            help="The name of a secret to pass to the server's process as an environment variable; may be repeated."
        ),
    ] = None,
    auth: Annotated[
        str | None, typer.Option(help="The name of the secret to send to the URL as a bearer token.")
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Start a server, list its tools and pin the listing. The command runs on this machine: `agentgrid mcp add time -- uvx mcp-server-time`."""
    with reporting(output):
        from agentgrid.sources import pins
        from agentgrid.sources.pins import Pin, Server

        server = Server(name=name, command=tuple(command or ()), url=url or "", environment=tuple(env or ()), auth=auth)
        if (wrong := pins.fault_of(server)) is not None:
            raise CommandFailed(wrong, ExitCode.USAGE)
        path = _path(name)
        if path.exists():
            raise CommandFailed(f"{path} already exists; compare with `agentgrid mcp diff {name}`, or remove the file")
        pin = Pin(server=server, tools=_current_listing(server))
        pin.write(path)
        _show(
            pin,
            output,
            f"pinned in {path}; a tool counts as destructive until its risk is set: agentgrid mcp risk {name} TOOL read",
        )


@app.command("list")
def list_(output: OutputOption = OutputFormat.TABLE) -> None:
    """List the pinned servers and compare each pin with the current listing. A server whose listing differs is held."""
    with reporting(output):
        from agentgrid.sources import pins

        rows = [_state(_read(path.stem)) for path in sorted((_root() / pins.FOLDER).glob("*.json"))]
        if output is OutputFormat.JSON:
            typer.echo(json.dumps(rows))
            return
        columns = (
            text("SERVER", least=12),
            fixed("TOOLS", 2),
            fixed("UNREVIEWED", 1),
            fixed("STATE"),
            text("COMMAND OR URL", 3),
        )
        if not rows:
            _print("no servers pinned; `agentgrid mcp add NAME -- COMMAND...` pins one")
            return
        stdout().print(TextTable(columns, ([str(row[key]) for key in _COLUMNS] for row in rows)))
        for row in rows:
            if row["why"]:
                _print(f"{row['server']}: {row['why']}")


@app.command()
def show(name: ServerName, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show a pinned listing with the risk of each tool. Starts nothing."""
    with reporting(output):
        _show(_read(name), output, "")


@app.command()
def diff(name: ServerName, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show how a server's current listing differs from its pin. Exit code 1 if it does."""
    with reporting(output):
        from agentgrid.sources import pins

        pin = _read(name)
        live = _current_listing(pin.server)
        changes = pins.changes(pin.tools, live)
        if output is OutputFormat.JSON:
            typer.echo(json.dumps({"server": name, "held": bool(changes), "changes": changes, "listed": list(live)}))
        else:
            _print(_differences(pin.tools, live) if changes else f"{name} lists exactly what is pinned")
        if changes:
            raise typer.Exit(ExitCode.FAILED)


@app.command()
def accept(name: ServerName, yes: YesOption = False, output: OutputOption = OutputFormat.TABLE) -> None:
    """Pin a server's current listing after a review. A changed tool counts as destructive until its risk is set again."""
    with reporting(output):
        pin = _read(name, edited=True)
        live = _current_listing(pin.server)
        if output is not OutputFormat.JSON:
            _print(_differences(pin.tools, live) or f"{name} lists exactly what is pinned")
        confirm("Pin this listing?", yes=yes)
        accepted = pin.accepting(live)
        accepted.write(_path(name))
        _show(accepted, output, f"pinned in {_path(name)}; restart the workers that use it")


@app.command()
def risk(
    name: ServerName,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name on the server.")],
    risk: Annotated[str, typer.Argument(metavar="RISK", help="read, write or destructive.")],
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Set the risk of a reviewed tool. Workers use it after a restart."""
    with reporting(output):
        from agentgrid.domain.policies import Risk

        pin = _read(name)
        if risk not in set(Risk):
            raise CommandFailed(f"the risk must be one of {', '.join(Risk)}", ExitCode.USAGE)
        if tool not in {item["name"] for item in pin.tools}:
            raise CommandFailed(f"{name} lists no tool {tool!r}", ExitCode.NOT_FOUND)
        updated = replace(pin, risks={**pin.risks, tool: Risk(risk)})
        updated.write(_path(name))
        _show(updated, output, "")


_COLUMNS = ("server", "tools", "unreviewed", "state", "reached_by")


def _root() -> Path:
    from agentgrid.cli.project import find_root

    return find_root() or Path.cwd()


def _path(name: str) -> Path:
    from agentgrid.sources import pins

    if pins.NAME.fullmatch(name) is None:
        raise CommandFailed(f"a server's name must match {pins.NAME.pattern}", ExitCode.USAGE)
    return _root() / pins.path_of(name)


def _read(name: str, *, edited: bool = False) -> Pin:
    from agentgrid.sources import pins

    try:
        return pins.read(_path(name), edited=edited)
    except FileNotFoundError:
        raise CommandFailed(
            f"{_path(name)} doesn't exist; create it with `agentgrid mcp add {name} -- COMMAND...`", ExitCode.NOT_FOUND
        ) from None
    except pins.PinUnusable as error:
        raise CommandFailed(str(error)) from None


def _current_listing(server: Server) -> tuple[Mapping[str, Any], ...]:
    """The tools that the server lists now."""
    from agentgrid.errors import ToolError
    from agentgrid.settings import Settings

    try:
        from agentgrid.sources.mcp_client import list_once
    except ModuleNotFoundError:
        raise CommandFailed("MCP servers need the extra agentgrid[mcp]; install it") from None
    try:
        return asyncio.run(list_once(server, allowed=Settings.load().allowed_hosts, errors=sys.__stderr__))
    except ToolError as error:
        code = ExitCode.UNAVAILABLE if error.retryable else ExitCode.FAILED
        raise CommandFailed(error.message, code) from None


def _state(pin: Pin) -> dict[str, Any]:
    from agentgrid.sources import pins

    why = ""
    try:
        changed = pins.changes(pin.tools, _current_listing(pin.server))
        state = "held" if changed else "ready"
        why = ", ".join(f"{tool} {what}" for tool, what in changed.items())
    except CommandFailed as error:
        state, why = "unreachable", error.message
    return {
        "server": pin.server.name,
        "tools": len(pin.tools),
        "unreviewed": sum(tool["name"] not in pin.risks for tool in pin.tools),
        "state": state,
        "why": why,
        "reached_by": pin.server.shown,
    }


def _show(pin: Pin, output: OutputFormat, note: str) -> None:
    """Print a listing for review. Everything in it except the risk comes from the server."""
    if output is OutputFormat.JSON:
        typer.echo(safe_json(pin.text()), nl=False)
        return

    count = len(pin.tools)
    console = stdout()
    put(console, Text(f"{pin.server.name}: {count} tool{'' if count == 1 else 's'} from {safe(pin.server.shown)}"))
    for tool in pin.tools:
        risk = pin.risks.get(tool["name"], "destructive (unreviewed)")
        put(console, Text(f"\n{safe(tool['name'])}   {risk}"))
        for part in _description_lines(tool):
            put(console, indented(Text(safe_lines(part), overflow="fold")))
    if note:
        _print(f"\n{note}")


def _description_lines(tool: Mapping[str, Any]) -> list[str]:
    parts = [str(tool.get("description") or "(no description)")]
    parts.append(f"input: {json.dumps(tool.get('inputSchema'), ensure_ascii=False)}")
    if "outputSchema" in tool:
        parts.append(f"output: {json.dumps(tool['outputSchema'], ensure_ascii=False)}")
    if "annotations" in tool:
        parts.append(f"annotations (untrusted): {json.dumps(tool['annotations'], ensure_ascii=False)}")
    return parts


def _differences(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> str:
    """A line diff of the tools that differ."""
    from agentgrid.sources import pins

    old, new = ({tool["name"]: tool for tool in tools} for tools in (before, after))
    lines: list[str] = []
    for name, what in pins.changes(before, after).items():
        lines += ["", f"{name} {what}"]
        was, now = (json.dumps(tools[name], indent=1).splitlines() if name in tools else [] for tools in (old, new))
        lines += list(difflib.unified_diff(was, now, lineterm="", n=1))[2:]
    return "\n".join(lines[1:])


def _print(text: str) -> None:
    typer.echo(safe_lines(text))
