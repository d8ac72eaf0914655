"""The terminal output of `agentgrid dev`: its own messages, and its children's lines prefixed with their names."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from agentgrid.cli.output import stderr
from agentgrid.cli.text import safe, safe_lines
from agentgrid.cli.words import LEVEL_STYLES

COLOURS = {"api": "cyan", "projector": "magenta", "worker": "green", "setup": "blue"}
SHOWN_LEVELS = frozenset({"warning", "error", "critical"})
POLL_SECONDS = 0.15
MAX_LINE_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024

_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
_FAILED_TASK = re.compile(
    r'(.{0,300}Failing workflow task run_id=\S{1,100}) failure=Failure \{ failure: Some\(Failure \{ message: "((?:[^"\\]|\\.)*)"'
)


class Terminal:
    """The terminal that `agentgrid dev` runs in."""

    def __init__(self, *, verbose: bool, console: Console | None = None) -> None:
        self.console = console or stderr()
        self._verbose = verbose

    def say(self, message: str, *, style: str = "", who: str = "dev") -> None:
        """Print a message from `agentgrid dev` itself."""
        text = self._begin(who)
        text.append(safe_lines(message), style=style)
        self.console.print(text, soft_wrap=True)

    def relay(self, who: str, line: str) -> None:
        """Print a child's line: structured lines from `warning` up, or all with --verbose; other lines always."""
        record = _record(line)
        if record is None:
            if line.strip():
                self.console.print(self._begin(who).append(safe(_plain(line))), soft_wrap=True)
            return
        level = str(record.get("level", "info"))
        if not self._verbose and level not in SHOWN_LEVELS:
            return
        text = self._begin(who)
        text.append(f"{safe(level):<8} ", style=LEVEL_STYLES.get(level, ""))
        text.append(safe(record.get("event", "")))
        for name, value in record.items():
            if name not in ("event", "level", "timestamp", "exception", "logger"):
                text.append(f"  {safe(name)}={safe(value)}", style="dim")
        if record.get("exception"):
            text.append("\n" + safe_lines(record["exception"]), style="dim")
        self.console.print(text, soft_wrap=True)

    def _begin(self, who: str) -> Text:
        text = Text(f"{datetime.now(UTC):%H:%M:%S} ", style="dim")
        return text.append(f"{who:<9} ", style=COLOURS.get(who, "bold"))


async def relay_file(terminal: Terminal, who: str, file: Path, start: int) -> None:
    """Relay new lines of the file from that position on, until cancelled, even if the file is replaced."""
    position, rest = start, b""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        position, block = _read_on(file, position)
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            whole, rest = [*whole, rest], b""
        for line in whole:
            terminal.relay(who, line[:MAX_LINE_BYTES].decode("utf-8", errors="replace"))


def _read_on(file: Path, position: int) -> tuple[int, bytes]:
    """The text after the position, and the new position. A file that shrank is read from the start."""
    try:
        with file.open("rb") as lines:
            if lines.seek(0, os.SEEK_END) < position:
                position = 0
            lines.seek(position)
            block = lines.read(BLOCK_BYTES)
    except FileNotFoundError:
        return 0, b""
    return position + len(block), block


def _plain(line: str) -> str:
    """A line of Temporal's core without its colours, and without the traceback that the worker has just logged."""
    text = _COLOUR.sub("", line)
    match = _FAILED_TASK.match(text)
    return f"{match[1]}: {match[2]}" if match is not None else text


def _record(line: str) -> Mapping[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "event" in record else None
