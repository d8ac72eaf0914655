"""Shared by all client commands: options, a session with the server, and showing one resource or a list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgrid.cli import names
from agentgrid.cli.exits import CommandFailed, ExitCode, exit_code_of
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.profiles import resolve
from agentgrid.cli.show import show_answer, show_page
from agentgrid.errors import AgentGridError, InvalidInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentgrid.cli.client import ApiClient

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="The profile to use, from profiles.toml. Default: AGENTGRID_PROFILE, or operator.",
        autocompletion=names.profiles,
    ),
]
OutputOption = Annotated[OutputFormat, typer.Option("--output", "-o", help="The output format.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=200, help="Maximum number of items.")]
CursorOption = Annotated[str | None, typer.Option("--cursor", help="The cursor that the previous page printed.")]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Don't ask for confirmation. Required without a terminal.")
]
NeedlessYesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="No effect: this command never asks for confirmation.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="The reason; stored in the audit log.")]


@contextmanager
def reporting(output: OutputFormat) -> Iterator[None]:
    """Report errors from the block in the caller's output format: as text or as JSON."""
    try:
        yield
    except AgentGridError as error:
        failure = error if isinstance(error, CommandFailed) else CommandFailed(_words(error), exit_code_of(error))
        if failure is not error:
            failure.problem = {"code": error.code, "detail": _words(error)}
        failure.as_json = output is OutputFormat.JSON
        raise failure from None


def _words(error: AgentGridError) -> str:
    faults = error.faults if isinstance(error, InvalidInput) else ()
    return "\n".join([error.message, *(f"  {fault.pointer}: {fault.message}" for fault in faults)])


@contextmanager
def session(profile: str | None, output: OutputFormat) -> Iterator[ApiClient]:
    """A client for this profile's server."""
    with reporting(output):
        from agentgrid.cli.client import ApiClient  # importing httpx takes 0.1 s, which `--help` doesn't need

        with ApiClient(resolve(profile)) as client:
            yield client


def show_list(
    path: str,
    table: Callable[[Sequence[Any]], RenderableType],
    *,
    empty: str,
    profile: str | None,
    output: OutputFormat,
    **query: Any,
) -> None:
    """Read a page of a list and print it. empty: the message if it has no items."""
    with session(profile, output) as client:
        answer = client.get(path, **query)
        show_page(answer, output, table, empty=empty)


def show_named(
    plural: str,
    name: str,
    render: Callable[[Any], RenderableType],
    *,
    profile: str | None,
    output: OutputFormat,
    below: str = "",
    **query: Any,
) -> None:
    """Read the resource with this name, or what is `below` its path, and print it; if it doesn't exist, suggest similar names."""
    with session(profile, output) as client:
        with names.suggesting(client, plural, name):
            answer = client.get(f"/{plural}/{part(name)}{below}", **query)
        show_answer(answer, output, render)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal. Raises CommandFailed if the answer is no, or without a terminal unless `--yes` is given."""
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandFailed(
            "there is no terminal to ask on; use --yes to continue without confirmation", ExitCode.USAGE
        )
    try:
        agreed = typer.confirm(question, err=True)
    except (typer.Abort, KeyboardInterrupt, EOFError):
        raise CommandFailed("interrupted. Nothing was sent.", ExitCode.INTERRUPTED) from None
    if not agreed:
        raise CommandFailed("nothing was sent", ExitCode.FAILED)
