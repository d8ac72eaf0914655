"""The log lines of a run's workflow and tools, on the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
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
    if line["message"] is None:
        text.append("(text hidden: requires permission to read payloads)", style="dim")
        return text
    text.append(safe(line["message"]))
    fields = line["fields"]
    if isinstance(fields, Mapping):
        for name, value in fields.items():
            shown = value if isinstance(value, str) else safe_json(json.dumps(value, ensure_ascii=False))
            text.append(f"  {safe(name)}={safe(shown)}", style="dim")
    return text


def print_logs(client: ApiClient, run_id: str, *, follow: bool, output: OutputFormat) -> None:
    """Print the lines oldest first; with `follow`, continue until the run has ended."""
    seen, page = -1, None
    while True:
        # Checked before reading the lines, so that none logged before the end is missed.
        ended = not follow or client.get(f"/runs/{part(run_id)}").json()["closed_at"] is not None
        while True:
            batch = client.get(f"/runs/{part(run_id)}/logs", limit=200, cursor=page).json()
            for line in batch["items"]:
                if line["log_id"] > seen:
                    seen = line["log_id"]
                    _print_line(line, output)
            if batch["next_cursor"] is None:
                break
            page = batch["next_cursor"]
        if ended:
            return
        time.sleep(FOLLOW_SECONDS)


def _print_line(line: Mapping[str, Any], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        shown = json.dumps(line, ensure_ascii=False)
        print(safe_json(shown) if sys.stdout.isatty() else shown, flush=True)
    else:
        stdout().print(log_line(line), soft_wrap=True)
