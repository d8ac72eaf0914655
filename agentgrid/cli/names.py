"""Suggestions for mistyped names, and shell completion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.output import stderr
from agentgrid.cli.profiles import load_profiles, profiles_file, resolve
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from agentgrid.cli.client import ApiClient

MAX_NAMES = 200
MAX_SUGGESTIONS = 3
FIELDS = {"policies": "rule_id"}
"""The field that holds a list's names, if it isn't `name`."""


@contextmanager
def suggesting(client: ApiClient, plural: str, name: str) -> Iterator[None]:
    """If the block fails because nothing has this name, add similar names to the error."""
    try:
        yield
    except CommandFailed as error:
        if error.exit_code is not ExitCode.NOT_FOUND:
            raise
        raise CommandFailed(
            error.message + _suggestion(client, plural, name), error.exit_code, problem=error.problem
        ) from None


def note_if_mistyped(client: ApiClient, plural: str, name: str | None) -> None:
    """After an empty list: suggest names similar to the one it was filtered by, on standard error."""
    if name is not None and (suggestion := _suggestion(client, plural, name)):
        stderr().print(Text(f"no {plural.removesuffix('s')} is called {name!r}{suggestion}", style="dim"))


def _suggestion(client: ApiClient, plural: str, typed: str) -> str:
    try:
        existing = _names(client, plural)
    except CommandFailed:
        return ""
    similar = [] if typed in existing else get_close_matches(typed, existing, n=MAX_SUGGESTIONS, cutoff=0.6)
    return f"; did you mean {' or '.join(safe(name) for name in similar)}?" if similar else ""


def _names(client: ApiClient, plural: str) -> list[str]:
    page = client.get(f"/{plural}", limit=MAX_NAMES).json()
    items = page.get("items", []) if isinstance(page, dict) else []
    return [str(item[FIELDS.get(plural, "name")]) for item in items]


def workflows(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a workflow."""
    return _completed(context, "workflows", incomplete)


def tools(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a tool."""
    return _completed(context, "tools", incomplete)


def agents(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of an agent."""
    return _completed(context, "agents", incomplete)


AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.", autocompletion=agents)]


def rules(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the id of a rule."""
    return _completed(context, "policies", incomplete)


def profiles(incomplete: str) -> list[str]:
    """Complete the name of a profile."""
    try:
        return [name for name in load_profiles(profiles_file()) if name.startswith(incomplete)]
    except Exception:
        return []


def _completed(context: typer.Context, plural: str, incomplete: str) -> list[str]:
    try:
        from agentgrid.cli.client import ApiClient

        with ApiClient(resolve(context.params.get("profile"))) as client:
            return [name for name in _names(client, plural) if name.startswith(incomplete)]
    except Exception:
        return []
