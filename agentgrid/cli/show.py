"""Print an answer in the form that the caller chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import RenderableType

from agentgrid.cli.client import Answer
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import more, print_json, put, stdout


def show(answer: Answer, output: OutputFormat, render: Callable[[Any], RenderableType]) -> None:
    """One resource. Raises CommandFailed where the server speaks another version than this command."""
    if output is OutputFormat.JSON:
        print_json(answer)
        return
    put(stdout(), rendered(answer.json(), render))


def show_page(answer: Answer, output: OutputFormat, render: Callable[[Sequence[Any]], RenderableType]) -> None:
    """One page of a list."""
    if output is OutputFormat.JSON:
        print_json(answer)
        return
    page = answer.json()
    items = page.get("items") if isinstance(page, dict) else None
    if not isinstance(items, list):
        raise _other_version("items")
    if items:
        put(stdout(), rendered(items, render))
    more(page, len(items))


def rendered(value: Any, render: Callable[[Any], RenderableType]) -> RenderableType:
    """The value as it is to look. Raises CommandFailed where it lacks what that needs."""
    try:
        return render(value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _other_version(error) from error


def _other_version(what: object) -> CommandFailed:
    return CommandFailed(
        f"the server's answer is not what this version of the command line expects ({what!r}); -o json prints it as it is",
        ExitCode.FAILED,
    )
