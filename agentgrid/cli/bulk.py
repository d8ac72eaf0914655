"""`agentgrid run start-many`: one run per line of a file, in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agentgrid.cli.client import ApiClient
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.inputs import read_json_lines
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.show import show_answer
from agentgrid.cli.tables import TextTable, fixed, ids, text
from agentgrid.cli.text import safe

SERVER_SECONDS = 25.0
"""How long the server may take for all items."""


def start_each(client: ApiClient, file: str, key: str, output: OutputFormat) -> ExitCode:
    """Start the runs and print the outcome of each line."""
    lines = read_json_lines(file)
    if not lines:
        raise CommandFailed(f"{file} is empty; it needs one JSON object per line", ExitCode.USAGE)
    answer = client.write(
        "POST",
        "/runs/bulk",
        {"items": list(lines.values())},
        doing=f"the start of {len(lines)} runs",
        key=key,
        again=f"It is safe to repeat it with --idempotency-key {key}: each run starts only once.",
        extra_seconds=SERVER_SECONDS,
    )
    show_answer(answer, output, lambda outcome: _outcomes(outcome, list(lines)))
    return ExitCode.FAILED if answer.json()["refused"] else ExitCode.OK


def _outcomes(answer: Mapping[str, Any], lines: Sequence[int]) -> RenderableType:
    """The outcome of the lines with these numbers; below each refused one, the reason."""
    items: Sequence[Mapping[str, Any]] = answer["items"]
    table = TextTable(
        (fixed("LINE"), fixed("OUTCOME"), text("WORKFLOW", least=12), ids("RUN")),
        (
            (str(line), item["outcome"], item["workflow"], item["run_id"])
            for line, item in zip(lines, items, strict=True)
        ),
        below=[_refusal(number, item["problem"]) for number, item in enumerate(items)],
    )
    summary = f"{answer['started']} started, {answer['replayed']} started before, {answer['refused']} refused"
    return Group(table, Text(summary, style="red" if answer["refused"] else "green"))


def _refusal(number: int, problem: Mapping[str, Any] | None) -> Text | None:
    """Why an item was refused; fault pointers are relative to the line, not to the request."""
    if problem is None:
        return None
    place = f"/items/{number}"
    faults = [f"{fault['pointer'].removeprefix(place) or '/'} {fault['message']}" for fault in problem["faults"]]
    return Text(safe("; ".join([problem["detail"], *faults])), style="red")
