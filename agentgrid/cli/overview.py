"""`agentgrid overview`: the current counts on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ProfileOption, session
from agentgrid.cli.show import show_answer

if TYPE_CHECKING:
    from rich.console import RenderableType

LINES = (
    ("running", "running", "running"),
    ("queued", "queued", "queued"),
    ("waiting", "waiting", "waiting"),
    ("waiting_for_approval", "  of these for an approval", "waiting"),
    ("approvals_for_me", "approvals that I may decide", "pending"),
    ("paused", "paused", "paused"),
    ("cancelling", "cancelling", "cancelling"),
    ("stuck", "stuck: no worker, or failing code", "failed"),
    ("failed_24h", "failed in the last 24 h", "failed"),
    ("timed_out_24h", "timed out in the last 24 h", "timed_out"),
    ("terminated_24h", "terminated in the last 24 h", "terminated"),
    ("cancelled_24h", "cancelled in the last 24 h", "cancelled"),
    ("completed_24h", "completed in the last 24 h", "completed"),
)


def overview(profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show what is running, waiting, failed and completed."""
    with session(profile, output) as client:
        answer = client.get("/overview")
        show_answer(answer, output, _render)


def _render(numbers: Mapping[str, Any]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    for field, label, status in LINES:
        count = numbers[field]["count"]
        style = words.ICONS[status][1] if count else "dim"
        table.add_row(Text(str(count), style=style), Text(label, style=style))
    parts: list[RenderableType] = [table]
    freshness = numbers["projection"]
    if freshness["stale"]:
        parts.append(Text(f"\nThese numbers may be stale: {_why_stale(numbers)}.", style="yellow"))
    return Group(*parts)


def _why_stale(numbers: Mapping[str, Any]) -> str:
    """Why the numbers may be stale. The last reported lag means nothing once the projector has been silent for longer."""
    freshness = numbers["projection"]
    lag, generated, updated = (
        freshness["lag_seconds"],
        words.moment(numbers["generated_at"]),
        words.moment(freshness["updated_at"]),
    )
    if lag is None or generated is None or updated is None:
        return "no projector has reported"
    silence = (generated - updated).total_seconds()
    if silence > lag:
        return f"no projector has reported for {words.duration(silence)}"
    return f"the projector is {words.duration(lag)} behind"
