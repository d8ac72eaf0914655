"""`agentgrid run start-many`: a run for each line of a file, by one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentgrid.cli.client import ApiClient
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import read_json_lines
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.show import show
from agentgrid.cli.tables import Listing, fixed, ids, text

SERVER_SECONDS = 25.0
"""How long the server may take for all items."""


def start_each(client: ApiClient, file: str, key: str, output: OutputFormat) -> ExitCode:
    """Start them, and print what became of each line."""
    items = read_json_lines(file)
    if not items:
        raise CommandFailed(f"{file} has no lines", ExitCode.USAGE)
    answer = client.write(
        "POST",
        "/runs/bulk",
        {"items": items},
        doing=f"the start of {len(items)} runs",
        key=key,
        again=f"It is safe to repeat it with --idempotency-key {key}: each run starts only once.",
        extra_seconds=SERVER_SECONDS,
    )
    show(answer, output, _outcomes)
    return ExitCode.FAILED if answer.json()["refused"] else ExitCode.OK


def _outcomes(answer: Mapping[str, Any]) -> RenderableType:
    items: Sequence[Mapping[str, Any]] = answer["items"]
    table = Listing(
        (fixed("ITEM"), fixed("OUTCOME"), text("WORKFLOW", 2, least=12), ids("RUN"), text("WHY", 1, least=20)),
        (
            (str(number), each["outcome"], each["workflow"], each["run_id"], _why(each["problem"]))
            for number, each in enumerate(items, start=1)
        ),
    )
    words = f"{answer['started']} started, {answer['replayed']} started before, {answer['refused']} refused"
    return Group(table, Text(words, style="red" if answer["refused"] else "green"))


def _why(problem: Mapping[str, Any] | None) -> str | None:
    if problem is None:
        return None
    faults = [f"{fault['pointer']} {fault['message']}" for fault in problem["faults"]]
    return "; ".join([problem["detail"], *faults])
