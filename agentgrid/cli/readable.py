"""JSON values for people: a string with several lines is shown as text.

Approvers approve what they see, so no content may be mistaken for another: every line of a text starts with a bar, including wrapped
lines (`┆`), and a text with characters that can't be printed literally is marked, its backslashes doubled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from agentgrid.cli.text import safe_json

BAR, FOLD = "│ ", "┆ "
ESCAPED = "(with escapes, as in JSON)"
MIN_WIDTH = 20


@dataclass(frozen=True)
class _Line:
    indent: str
    text: str
    bar: str = ""


class Readable:
    """The value on as many lines as the width requires. names: labels for the items of a list, such as a call's arguments."""

    def __init__(self, value: Any, *, names: Sequence[str] = ()) -> None:
        self._value = value
        self._names = names

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines():
            yield from _folded(line, console, options.max_width)

    def _lines(self) -> Iterator[_Line]:
        if not self._names:
            yield from _lines(self._value)
            return
        for number, item in enumerate(self._value):
            name = self._names[number] if number < len(self._names) else f"[{number}]"
            yield from _lines(item, label=f"{safe_json(name)}: ")


SIGNS = {"-": "red", "+": "green", " ": "dim"}


class Difference:
    """A line diff of two values: `-` marks removed lines, `+` added ones. Objects are compared by key."""

    def __init__(self, old: Any, new: Any) -> None:
        self._old, self._new = list(_lines(_ordered(old))), list(_lines(_ordered(new)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for sign, lines in self._signed():
            for line in lines:
                for folded in _folded(line, console, options.max_width - len(sign) - 1):
                    yield Text(f"{sign} ", style=SIGNS[sign]).append_text(folded)

    def _signed(self) -> Iterator[tuple[str, Sequence[_Line]]]:
        for tag, i1, i2, j1, j2 in SequenceMatcher(None, self._old, self._new, autojunk=False).get_opcodes():
            if tag == "equal":
                yield " ", self._old[i1:i2]
            else:
                yield "-", self._old[i1:i2]
                yield "+", self._new[j1:j2]


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _folded(line: _Line, console: Console, max_width: int) -> Iterator[Text]:
    width = max(MIN_WIDTH, max_width - len(line.indent) - len(BAR))
    parts = Text(line.text).wrap(console, width, overflow="fold") if line.text else [Text("")]
    for number, part in enumerate(parts):
        front = Text(line.indent)
        front.append(line.bar if number == 0 else FOLD, style="dim")
        yield front.append_text(part)


def _lines(value: Any, *, label: str = "", indent: str = "", comma: str = "") -> Iterator[_Line]:
    if isinstance(value, str) and "\n" in value:
        text, escaped = _text(value)
        if label or escaped:
            yield _Line(indent, f"{label}{ESCAPED if escaped else ''}".rstrip())
        for line in text.split("\n"):
            yield _Line(f"{indent}  " if label else indent, line, BAR)
    elif isinstance(value, (dict, list)) and value:
        pairs = list(value.items()) if isinstance(value, dict) else [(None, item) for item in value]
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        yield _Line(indent, label + opening)
        for number, (key, item) in enumerate(pairs, start=1):
            name = "" if key is None else f"{_json(key)}: "
            # A text in a list starts on a line of its own, like one in an object.
            name = name or ("- " if isinstance(item, str) and "\n" in item else "")
            yield from _lines(item, label=name, indent=f"{indent}  ", comma="," if number < len(pairs) else "")
        yield _Line(indent, closing + comma)
    else:
        yield _Line(indent, f"{label}{_json(value)}{comma}")


def _json(value: Any) -> str:
    return safe_json(json.dumps(value, ensure_ascii=False))


def _text(value: str) -> tuple[str, bool]:
    """The text and whether it has escapes; if so, its backslashes are doubled, so that an escape can't be confused with text."""
    escaped = safe_json(value).replace("\t", "\\t").replace("\r", "\\r")
    if escaped == value:
        return value, False
    doubled = value.replace("\\", "\\\\")
    return safe_json(doubled).replace("\t", "\\t").replace("\r", "\\r"), True
