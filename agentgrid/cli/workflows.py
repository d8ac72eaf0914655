"""`agentgrid workflow`: registered workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from agentgrid.cli import names, words
from agentgrid.cli.groups import make_group
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented
from agentgrid.cli.schemas import description_and_schemas
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    ReasonOption,
    YesOption,
    confirm,
    session,
    show_list,
    show_named,
)
from agentgrid.cli.switches import put_switch, switch_facts, unless_disabled
from agentgrid.cli.tables import TextTable, fixed, text, time
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()

WorkflowName = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.", autocompletion=names.workflows)
]


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List the registered workflows."""
    show_list("/workflows", _table, empty="no workflows", profile=profile, output=output, limit=limit, cursor=cursor)


@app.command()
def show(
    name: WorkflowName,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show a workflow: its input and output, versions and statistics. -o json prints the full schemas."""
    show_named("workflows", name, _detail, profile=profile, output=output)


@app.command()
def disable(
    name: WorkflowName,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Turn on a workflow's kill switch: it can't be started, and tool calls in its runs fail."""
    with session(profile, output) as client:
        if not yes:
            running = sum(client.get(f"/workflows/{part(name)}").json().get("stats", {}).get("open", {}).values())
            confirm(
                f"{name} has {running} open runs, and the next tool call of each will fail without retries. Disable it?",
                yes=yes,
            )
        put_switch(client, "workflow", name, "disable", reason, output, _summary)


@app.command()
def enable(
    name: WorkflowName,
    reason: ReasonOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Turn off a workflow's kill switch: it can be started again."""
    with session(profile, output) as client:
        put_switch(client, "workflow", name, "enable", reason, output, _summary)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("WORKFLOW", least=24),
            text("TITLE", 3, least=20),
            fixed("SWITCH", 1),
            text("VERSION", 6, least=12),
            text("QUEUE", 5, least=16),
            fixed("SERVED", 2),
            fixed("LAST RUN", 4),
            text("TAGS", 7),
        ),
        (
            (
                workflow["name"],
                workflow["title"],
                unless_disabled(workflow["switch"], words.status("enabled")),
                workflow["version"],
                workflow["task_queue"],
                words.yes_no(workflow["served"]),
                words.status(workflow["last_run"]["status"]) if workflow["last_run"] else None,
                workflow["tags"],
            )
            for workflow in items
        ),
    )


def _summary(workflow: Mapping[str, Any]) -> RenderableType:
    stats = workflow["stats"]
    return Group(
        Text(safe(workflow["title"]), style="bold"),
        indented(
            facts(
                {
                    "workflow": workflow["name"],
                    **switch_facts(workflow["switch"]),
                    "version": workflow["version"],
                    "grid": workflow["grid"],
                    "task queue": workflow["task_queue"],
                    "served": words.yes_no(workflow["served"]),
                    "tags": workflow["tags"],
                    "open": _counts(stats["open"]),
                    "last 24 h": _counts(stats["closed_24h"]),
                }
            )
        ),
    )


def _detail(workflow: Mapping[str, Any]) -> RenderableType:
    versions = TextTable(
        (fixed("VERSION"), text("BUILD", 2, least=12), time("FIRST SEEN", 1)),
        ((version["version"], version["build"], version["first_seen_at"]) for version in workflow["versions"]),
    )
    return Group(
        _summary(workflow),
        *description_and_schemas(workflow),
        *_handlers(workflow.get("handlers")),
        Text("\nVersions", style="bold"),
        indented(versions),
    )


def _handlers(handlers: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    """Signals, queries and updates, each with its parameters and the first line of its docstring."""
    if handlers is None:
        return
    for plural, kind in (("signals", "signal"), ("queries", "query"), ("updates", "update")):
        dynamic = kind in handlers["dynamic"]
        if not handlers[plural] and not dynamic:
            continue
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for handler in handlers[plural]:
            table.add_row(
                Text(safe(_call(handler)), style="bold"), Text(safe(handler["description"].split("\n")[0]), style="dim")
            )
        if dynamic:
            table.add_row(Text("…"), Text("any other name", style="dim"))
        yield Text(f"\n{plural.capitalize()}", style="bold")
        yield indented(table)


def _call(handler: Mapping[str, Any]) -> str:
    """A handler as a call, such as `hold(until, reason?)`."""
    schema = handler["input_schema"]
    items, required = schema.get("prefixItems"), schema.get("minItems", 0)
    if not isinstance(items, list) or not isinstance(required, int):  # a hand-written or hostile catalog entry
        items = []
    parameters = [
        f"{(isinstance(item, dict) and item.get('title')) or 'argument'}{'' if number < required else '?'}"
        for number, item in enumerate(items)
    ]
    return f"{handler['name']}({', '.join(parameters)})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count) or "none"
