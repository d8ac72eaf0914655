"""Print a response in the caller's output format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented, more, print_json, put, stdout
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from agentgrid.cli.client import ApiResponse

ACCEPTED = 202


def show_answer(answer: ApiResponse, output: OutputFormat, render: Callable[[Any], RenderableType]) -> None:
    """Print one resource, or the proposal if the request needs confirmation. Raises CommandFailed if the server's version doesn't match."""
    if output is OutputFormat.JSON:
        print_json(answer)
        return
    value = answer.json()
    is_proposal = isinstance(value, dict) and answer.status == ACCEPTED and value.get("status") == "proposed"
    put(stdout(), rendered(value, proposal if is_proposal else render))


def proposal(command: Mapping[str, Any]) -> RenderableType:
    """A proposed command."""
    outcome = command["outcome"] or {}
    heading = Text(safe(f"{command['kind']} {command['target']}"), style="bold")
    heading.append("  ").append_text(words.status(command["status"]))
    about = {
        "command": command["command_id"],
        "proposed by": command["principal"],
        "proposer's reason": command["reason"],
        **details(outcome.get("proposal") or {}),
        "confirmed by": outcome.get("confirmed_by"),
    }
    note = [Text(safe(outcome["message"]), style="yellow")] if outcome.get("message") else []
    return Group(heading, indented(facts(about)), *(indented(line) for line in note))


def details(shown: Mapping[str, Any]) -> dict[str, str]:
    """The proposal's fields as text, without empty values."""
    fields: dict[str, str] = {}
    for name, value in shown.items():
        if value in (None, "", [], {}, False):
            continue
        if isinstance(value, Mapping):
            fields |= {f"{name} {key}": text for key, text in details(value).items()}
        else:
            fields[name] = ", ".join(map(_word, value)) if isinstance(value, list) else _word(value)
    return {safe(name): safe(text) for name, text in fields.items()}


def _word(value: Any) -> str:
    """A value as text: a fault as its pointer and message, true as `yes`."""
    if isinstance(value, Mapping):
        return " ".join(map(str, value.values()))
    return "yes" if value is True else str(value)


def show_page(
    answer: ApiResponse,
    output: OutputFormat,
    render: Callable[[Sequence[Any]], RenderableType],
    *,
    empty: str,
) -> None:
    """Print one page of a list. empty: the message if it has no items."""
    if output is OutputFormat.JSON:
        print_json(answer)
        return
    page = answer.json()
    items = page.get("items") if isinstance(page, dict) else None
    if not isinstance(items, list):
        raise _other_version("items")
    if items:
        put(stdout(), rendered(items, render))
    more(page, len(items), empty=empty)


def rendered(value: Any, render: Callable[[Any], RenderableType]) -> RenderableType:
    """The rendered value. Raises CommandFailed if it lacks a needed field."""
    try:
        return render(value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _other_version(error) from error


def _other_version(what: object) -> CommandFailed:
    return CommandFailed(
        f"the server's response doesn't match this version of the CLI ({what!r}); -o json prints it unchanged",
        ExitCode.FAILED,
    )
