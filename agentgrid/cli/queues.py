"""`agentgrid queue`: task queues and whether workers serve them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentgrid.cli import words
from agentgrid.cli.groups import make_group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ProfileOption, show_list
from agentgrid.cli.tables import TextTable, fixed, text

if TYPE_CHECKING:
    from rich.console import RenderableType

app = make_group()


@app.command("list")
def list_(profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the task queues in the catalog and those of open runs."""
    show_list("/task-queues", _table, empty="no task queues", profile=profile, output=output)


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("QUEUE", least=12),
            fixed("SERVED", 1),
            fixed("POLLERS", 3),
            fixed("OPEN RUNS", 2),
            text("WORKFLOWS", 4, least=12),
            fixed("TOOLS", 5),
        ),
        (
            (
                queue["name"],
                words.yes_no(queue["served"]),
                len({poller["identity"] for poller in queue["pollers"]}),
                queue["open_runs"],
                queue["workflows"],
                len(queue["tools"]),
            )
            for queue in items
        ),
    )
