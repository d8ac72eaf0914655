"""What a run's workflow and tools logged, on the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.client import ApiClient
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import stdout
from agentgrid.cli.text import safe, safe_json

FOLLOW_SECONDS = 1.0


def log_line(line: Mapping[str, Any], *, cut: bool = False) -> Text:
    """One line: time, level, message, fields."""
    at = words.moment(line["logged_at"])
    text = Text(no_wrap=cut, overflow="ellipsis" if cut else None)
    text.append(f"{at:%H:%M:%S}  ", style="dim")
    level = str(line["level"]).lower()
    text.append(f"{safe(level):<7}  ", style=words.LEVEL_STYLES.get(level, ""))
    text.append(safe(line["message"]))
    fields = line["fields"]
    if isinstance(fields, Mapping):
        for name, value in fields.items():
            shown = value if isinstance(value, str) else safe_json(json.dumps(value, ensure_ascii=False))
            text.append(f"  {safe(name)}={safe(shown)}", style="dim")
    return text


def print_logs(client: ApiClient, run_id: str, *, follow: bool, output: OutputFormat) -> None:
    """Print the lines oldest first; with `follow`, go on until the run has ended."""
    seen = -1
    while True:
        # Asked before the lines are read: what is logged before the end must not be missed.
        ended = not follow or client.get(f"/runs/{part(run_id)}").json()["closed_at"] is not None
        for line in _new_lines(client, run_id, seen):
            seen = line["log_id"]
            if output is OutputFormat.JSON:
                shown = json.dumps(line, ensure_ascii=False)
                print(safe_json(shown) if sys.stdout.isatty() else shown, flush=True)
            else:
                stdout().print(log_line(line), soft_wrap=True)
        if ended:
            return
        time.sleep(FOLLOW_SECONDS)


def _new_lines(client: ApiClient, run_id: str, seen: int) -> Iterator[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    cursor = None
    while True:
        page = client.get(f"/runs/{part(run_id)}/logs", limit=200, cursor=cursor).json()
        items = page["items"]
        found += [line for line in items if line["log_id"] > seen]
        cursor = page["next_cursor"]
        if cursor is None or not items:
            break
    yield from sorted(found, key=lambda line: line["log_id"])
