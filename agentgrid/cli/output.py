"""Standard output and standard error. Untrusted data is never interpreted as markup or terminal control characters."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agentgrid.cli.readable import Readable
from agentgrid.cli.text import safe, safe_json, safe_lines
from agentgrid.cli.words import NOTHING

if TYPE_CHECKING:
    from agentgrid.cli.client import ApiResponse

PIPED_WIDTH = 10_000
"""Output to a file or a pipe is not cut to a terminal's width."""
HEIGHT = 25
"""Used if the terminal's height is unknown; without a height, rich ignores the width of a dumb terminal."""


def stdout() -> Console:
    """The console for results."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console for notes, questions and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    terminal = shutil.get_terminal_size((80, HEIGHT))
    width = terminal.columns if stream.isatty() else PIPED_WIDTH
    return Console(
        stderr=stderr, width=width, height=terminal.lines, markup=False, highlight=False, emoji=False, soft_wrap=False
    )


def put(console: Console, renderable: RenderableType) -> None:
    """Print; without trailing blanks in a pipe."""
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    console.file.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")


def indented(renderable: RenderableType) -> Padding:
    """Indented by two columns."""
    return Padding(renderable, (0, 0, 0, 2), expand=False)


def print_json(answer: ApiResponse) -> None:
    """Print the API's JSON: unchanged into a pipe; on a terminal indented, with control characters escaped."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(answer.body if answer.body.endswith(b"\n") else answer.body + b"\n")
        sys.stdout.buffer.flush()
        return
    print(safe_json(pretty(answer.json())))


def pretty(value: Any) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def cell(value: Any) -> Text:
    """A value as a table cell on one line."""
    if isinstance(value, Text):
        return value
    if value is None or value == "" or value == []:
        return NOTHING
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Text(", ".join(safe(item) for item in value))
    return Text(safe(value))


def facts(pairs: Mapping[str, Any]) -> Table:
    """Names and values; empty values are omitted."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is None or value == "" or value == []:
            continue
        table.add_row(name, cell(value))
    return table


def payload(stored: Mapping[str, Any] | None, *, names: Sequence[str] = ()) -> RenderableType:
    """A stored payload in full, with every character visible, or a note on what can't be shown. names: the names of its positional arguments."""
    if stored is None:
        return Text("(not shown: you may not read payloads, or there is no payload)", style="dim")
    size = stored.get("size")
    if stored.get("opaque"):
        return Text(
            f"(can't be decoded: {safe(size)} bytes, encoding {safe(stored.get('encoding'))})", style="bold red"
        )
    if stored.get("truncated"):
        shown = Text(safe_lines(stored.get("preview", "")))
        shown.append(f"\n… truncated: {safe(size)} bytes in total", style="bold red")
        return shown
    value = stored["values"] if "values" in stored else stored.get("value")
    return Readable([value] if names and "values" not in stored else value, names=names)


def chain(error: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A failure and its causes, innermost last."""
    while error:
        yield error
        error = error.get("cause")


def summary_of(error: Mapping[str, Any]) -> str:
    """One failure of a chain, without its causes."""
    return ": ".join(str(error[name]) for name in ("type", "message") if error.get(name))


def error_text(error: Mapping[str, Any] | None) -> Text | None:
    """A failure and its distinct causes on one line, then the innermost known place in the project's code."""
    parts: list[str] = []
    place: str | None = None
    for failure in chain(error):
        if (summary := summary_of(failure)) not in parts[-1:]:
            parts.append(summary)
        place = failure.get("at") or place
    if not parts:
        return None
    text = Text(" ← ".join(map(safe, parts)), style="red")
    return text.append(f" (at {safe(place)})", style="dim") if place else text


def more(page: Mapping[str, Any], shown: int, *, empty: str) -> None:
    """Print on standard error how to get the rest of a list, or that it is empty."""
    if not shown:
        stderr().print(Text(empty, style="dim"))
    elif page.get("next_cursor"):
        stderr().print(Text(f"more results: --cursor {safe(page['next_cursor'])}", style="dim"), soft_wrap=True)
