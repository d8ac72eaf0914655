"""`agentgrid agent edit`: create a new version of an agent, in an editor or with options."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import part, read_json, read_text
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.names import AgentName, suggesting
from agentgrid.cli.output import indented, put, stderr
from agentgrid.cli.session import OutputOption, ProfileOption, YesOption, confirm, session
from agentgrid.cli.show import show_answer
from agentgrid.cli.text import safe, safe_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

FIELDS = ("models", "instructions", "tools", "limits", "output_schema")
LIMITS = ("requests", "tool_calls", "tokens", "usd", "seconds", "soft")


def edit(
    name: AgentName,
    instructions: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file with the instructions, or - for stdin.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="`provider:model`; may be repeated, in order of preference.")
    ] = None,
    tool: Annotated[list[str] | None, typer.Option(help="A tool that the agent may use; may be repeated.")] = None,
    no_tools: Annotated[bool, typer.Option("--no-tools", help="Let the agent use no tools.")] = False,
    budget_usd: Annotated[float | None, typer.Option(help="The budget of one call in US dollars.")] = None,
    budget_requests: Annotated[int | None, typer.Option(help="The budget of one call in model requests.")] = None,
    output_schema: Annotated[
        str | None, typer.Option(help="A narrower JSON Schema for the output: JSON, @FILE or -.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="The reason; stored with the version and in the audit log.")] = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create a new version of an agent and use it for new calls, within seconds. Open calls keep theirs.

    Without content options, the version in use opens as JSON in $VISUAL or $EDITOR. A version can't exceed what the agent's code allows.
    """
    content: dict[str, Any] = {
        "instructions": None if instructions is None else read_text(instructions),
        "models": model,
        "tools": [] if no_tools else tool,
        "output_schema": None if output_schema is None else read_json(output_schema, option="--output-schema"),
    }
    limits = {"usd": budget_usd, "requests": budget_requests}
    fields = {field: value for field, value in content.items() if value is not None}
    limit_changes = {field: value for field, value in limits.items() if value is not None}
    with session(profile, output) as client:
        place = f"/agents/{part(name)}"
        with suggesting(client, "agents", name):
            active = client.get(place).json()["active"]
        if active is None:
            raise CommandFailed(f"{name} has no version that can be edited; deploy its worker again", ExitCode.FAILED)
        before = {field: active[field] for field in FIELDS}
        if fields or limit_changes:
            after = {**before, **fields, "limits": {**before["limits"], **limit_changes}}
        else:
            after = _edited(before)
        if not _show_changes(active, before, after):
            raise CommandFailed("the version is identical to the one in use. Nothing was sent.", ExitCode.FAILED)
        if note is None and not yes and sys.stdin and sys.stdin.isatty() and sys.stderr.isatty():
            note = _prompt_note()
        confirm(f"Use this version of {name} for new calls?", yes=yes)
        body = {**_request_fields(after), "note": note or "", "expected_version": active["version"]}
        answer = client.write("PUT", place, body, doing=f"the version of {name}")
        show_answer(answer, output, render_version)


def _request_fields(after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields to send; those left at the code's values are omitted."""
    return {
        field: value for field, value in after.items() if value is not None and not (field == "models" and not value)
    }


def _prompt_note() -> str:
    try:
        return str(typer.prompt("Reason (shown with the version)", default="", show_default=False, err=True))
    except (typer.Abort, KeyboardInterrupt, EOFError):
        raise CommandFailed("interrupted. Nothing was sent.", ExitCode.INTERRUPTED) from None


def _edited(before: Mapping[str, Any]) -> dict[str, Any]:
    """The document as saved in the editor; offers to edit it again while it is invalid."""
    import click

    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise CommandFailed("there is no terminal for an editor; give the changes as options", ExitCode.USAGE)
    # As a list of lines, because a JSON string can't contain line breaks.
    text = json.dumps({**before, "instructions": before["instructions"].splitlines()}, indent=2, ensure_ascii=False)
    while True:
        try:
            saved = click.edit(text, extension=".json")
        except click.ClickException as error:
            raise CommandFailed(
                f"{error.message}. Set EDITOR, or give the changes as options", ExitCode.USAGE
            ) from None
        if saved is None:
            raise CommandFailed("nothing was saved in the editor. Nothing was sent.", ExitCode.FAILED)
        try:
            return _read(saved)
        except ValueError as error:
            confirm(f"The document is invalid: {error}. Edit it again?", yes=False)
            text = saved


def _read(text: str) -> dict[str, Any]:
    """The edited document. Raises ValueError."""
    value = json.loads(text)
    if not isinstance(value, dict) or not isinstance(value.get("limits", {}), dict):
        raise ValueError("it and its limits must be JSON objects")
    if unknown := sorted({*value} - {*FIELDS} | {*value.get("limits", {})} - {*LIMITS}):
        raise ValueError(f"{', '.join(unknown)} can't be edited; only {', '.join(FIELDS)} can")
    lines = value.get("instructions", [])
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        value["instructions"] = "\n".join(lines)
    elif not isinstance(lines, str):
        raise ValueError("instructions must be a string or a list of lines")
    return {field: value.get(field) for field in FIELDS} | {
        "limits": {limit: value.get("limits", {}).get(limit) for limit in LIMITS}
    }


def _show_changes(active: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Print the differences on standard error. Returns whether there are any."""
    from agentgrid.domain.agent_versions import differences

    changes = differences(before, after, active["version"], "new")
    if changes:
        put(stderr(), render_changes(changes))
    return bool(changes)


def render_changes(changes: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    """The differences by field: a diff of the instructions, before and after for the others."""
    parts: list[RenderableType] = []
    for field, change in changes.items():
        parts.append(Text(field.replace("_", " "), style="bold"))
        before, after = change["before"], change["after"]
        if change.get("diff"):
            lines = change["diff"].splitlines()[2:]
        else:
            if field == "limits":
                names = [name for name in LIMITS if before.get(name) != after.get(name)]
                before, after = ({name: each.get(name) for name in names} for each in (before, after))
            lines = [f"-{_short(before)}", f"+{_short(after)}"]
        styles = {"-": "red", "+": "green", "@": "cyan"}
        parts += [indented(Text(safe_lines(line), style=styles.get(line[:1], "dim"))) for line in lines]
    return Group(*parts)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict) and set(value) <= set(LIMITS):
        return ", ".join(f"{name} {'as in the code' if limit is None else limit}" for name, limit in value.items())
    return json.dumps(value, ensure_ascii=False)


def render_version(agent: Mapping[str, Any]) -> RenderableType:
    """An agent after its version was changed."""
    if not agent["changed"]:
        return Text(f"{safe(agent['name'])} already uses {safe(agent['version'])}", style="dim")
    heading = Text(f"{safe(agent['name'])} uses {safe(agent['version'])} for new calls", style="green")
    problems = [indented(Text(safe(problem), style="yellow")) for problem in agent["problems"]]
    return Group(heading, *([indented(render_changes(agent["changes"]))] if agent["changes"] else []), *problems)
