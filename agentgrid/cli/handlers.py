"""`agentgrid run signal`, `query`, `update` and `outcome`: messages to a run's workflow."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.exits import ExitCode
from agentgrid.cli.identifiers import command_id_of, run_id_of
from agentgrid.cli.inputs import part, read_json
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import error_text, indented, payload, stderr
from agentgrid.cli.run_view import accepted_message
from agentgrid.cli.session import OutputOption, ProfileOption, ReasonOption, reporting, session
from agentgrid.cli.show import show_answer
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentgrid.cli.client import ApiResponse

MAX_WAIT_SECONDS = 20.0
ACCEPT_SECONDS = 6.0
"""How long the server may take before it starts waiting for an update to finish."""

RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The run's id, its workflow id, or a unique beginning or end of either, of at least 4 characters.",
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The handler's name in the workflow's code; `workflow show` lists them.")
]
Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="ARGS", help="The arguments in order, each JSON, @FILE or -.")
]
InputOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", help="Another argument: JSON, @FILE or -; may be repeated. Use it for values such as -1."
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        max=MAX_WAIT_SECONDS,
        help="Seconds to wait for the update to finish. With 0, exit code 0 means that it was accepted.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group."""
    for command in (signal, query, update, outcome):
        app.command()(command)


def signal(
    run_id: RunId,
    name: Name,
    arguments: Arguments = None,
    input_: InputOption = None,
    reason: ReasonOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send a signal to a handler of the run's workflow. Signals return no answer."""
    with reporting(output):
        body = {"name": name, "arguments": _values(arguments, input_)} | ({"reason": reason} if reason else {})
    with session(profile, output) as client:
        doing = f"the signal of run {run_id}"
        path = f"/runs/{part(run_id_of(client, run_id, doing=doing))}/signal"
        answer = client.write("POST", path, body, doing=doing)
        show_answer(answer, output, lambda run: accepted_message("signal", run))
        if answer.json().get("handler") == "unknown":
            _note(
                "the signal's name was not checked: the handlers of this run's version are unknown. A mistyped signal has no effect."
            )


def query(
    run_id: RunId,
    name: Name,
    arguments: Arguments = None,
    input_: InputOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Query a run's workflow and print the answer. Changes nothing."""
    with reporting(output):
        body = {"arguments": _values(arguments, input_)}
    with session(profile, output) as client:
        answer = client.ask(f"/runs/{part(run_id_of(client, run_id))}/queries/{part(name)}", body)
        show_answer(answer, output, _result)


def update(
    run_id: RunId,
    name: Name,
    arguments: Arguments = None,
    input_: InputOption = None,
    reason: ReasonOption = None,
    wait: WaitOption = 3.0,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Repeating the update with the same key sends nothing new, and waits again.")
    ] = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send an update to a run's workflow and print the answer. Exit code 0: completed; 1: rejected or failed; 5: not finished yet."""
    with reporting(output):
        body = {"arguments": _values(arguments, input_)} | ({"reason": reason} if reason else {})
    with session(profile, output) as client:
        doing = f"the update of run {run_id}"
        key = idempotency_key or str(uuid.uuid4())
        answer = client.write(
            "POST",
            f"/runs/{part(run_id_of(client, run_id, doing=doing))}/updates/{part(name)}",
            body,
            doing=doing,
            key=key,
            again=f"It is safe to repeat it with --idempotency-key {key}: the run gets it only once.",
            extra_seconds=wait + ACCEPT_SECONDS,
            wait=wait,
        )
        code = _shown(answer, output, wait)
    raise typer.Exit(code)


def outcome(
    run_id: RunId,
    command_id: Annotated[str, typer.Argument(metavar="COMMAND", help="The id of the update's command.")],
    wait: WaitOption = 3.0,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Wait for an update to finish and show its outcome. Exit codes as for `run update`."""
    with session(profile, output) as client:
        path = f"/runs/{part(run_id_of(client, run_id))}/updates/{part(command_id_of(client, command_id))}"
        answer = client.get(path, extra_seconds=wait, wait=wait)
        code = _shown(answer, output, wait)
    raise typer.Exit(code)


def _values(arguments: list[str] | None, more: list[str] | None) -> list[Any]:
    values = [("ARGS", value) for value in arguments or ()] + [("--input", value) for value in more or ()]
    return [read_json(value, option=option) for option, value in values]


def _shown(answer: ApiResponse, output: OutputFormat, wait: float) -> ExitCode:
    show_answer(answer, output, _update)
    document = answer.json()
    if document["stage"] == "completed":
        return ExitCode.OK
    if document["stage"] not in ("pending", "accepted"):
        return ExitCode.FAILED
    if document["stage"] == "accepted" and not wait:
        return ExitCode.OK
    _note(f"not finished yet; to wait again: agentgrid run outcome {document['run_id']} {document['command_id']}")
    return ExitCode.UNAVAILABLE


def _result(answer: Mapping[str, Any]) -> RenderableType:
    return payload(answer["result"])


def _update(document: Mapping[str, Any]) -> RenderableType:
    heading = Text("update ").append(safe(document["name"] or ""), style="bold").append("  ")
    heading.append_text(words.status(document["stage"])).append(
        f"  command {safe(document['command_id'])}", style="dim"
    )
    parts: list[RenderableType] = [heading]
    if document["result"] is not None:
        parts.append(indented(payload(document["result"])))
    if (error := error_text(document["error"])) is not None:
        parts.append(indented(error))
    return Group(*parts)


def _note(note: str) -> None:
    stderr().print(Text(safe(note), style="dim"), soft_wrap=True)
