"""Values given on the command line as JSON, `@file`, or `-` for standard input."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agentgrid.cli.exits import CommandFailed, ExitCode

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MAX_INPUT_BYTES = 2 * 1024 * 1024
"""Temporal refuses larger payloads, so they are not sent."""


def read_json(value: str, *, option: str) -> Any:
    """The value of `--input` and similar options. Raises CommandFailed with the position of the error."""
    text, source = _text_of(value, option)
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise CommandFailed(f"{source} is nested too deeply", ExitCode.USAGE) from None
    except json.JSONDecodeError as error:
        hint = "" if value[:1] in "@-" else "; give JSON, @FILE, or - for standard input"
        raise CommandFailed(
            f"{source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}{hint}", ExitCode.USAGE
        ) from None
    except ValueError as error:
        raise CommandFailed(f"{source} is not JSON: {error}", ExitCode.USAGE) from None


def read_json_lines(file: str) -> dict[int, Any]:
    """The values in a file, or `-` for standard input, by line number; empty lines are skipped. Raises CommandFailed with the line number."""
    text, source = _text_of(file if file == "-" else f"@{file}", "FILE")
    values = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values[number] = json.loads(line, parse_constant=_no_constant)
            except (ValueError, RecursionError) as error:
                why = error.msg if isinstance(error, json.JSONDecodeError) else str(error) or "nested too deeply"
                raise CommandFailed(f"{source}, line {number} is not JSON: {why}", ExitCode.USAGE) from None
    return values


def read_text(file: str) -> str:
    """The text of a file, or of standard input for `-`. Raises CommandFailed."""
    return _text_of(file if file == "-" else f"@{file}", "FILE")[0]


def part(identifier: str) -> str:
    """An identifier as one URL path segment."""
    if identifier in ("", ".", ".."):
        raise CommandFailed(f"{identifier!r} is not a valid identifier", ExitCode.USAGE)
    try:
        return quote(identifier, safe="")
    except UnicodeEncodeError:
        raise CommandFailed(f"{identifier!r} is not a valid identifier", ExitCode.USAGE) from None


def moment_of(value: str | None, option: str) -> str | None:
    """The time of an option such as `--started-after`: a time with an offset, or a date, which means midnight UTC because times are shown in UTC."""
    if value is None:
        return None
    try:
        at = (
            datetime.combine(date.fromisoformat(value), time(), UTC)
            if DATE.fullmatch(value)
            else datetime.fromisoformat(value)
        )
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise CommandFailed(
            f"{option} must be a date such as 2030-01-31, or a time with an offset such as 2030-01-31T09:00:00Z, not {value!r}",
            ExitCode.USAGE,
        )
    return at.isoformat()


def _text_of(value: str, option: str) -> tuple[str, str]:
    if value == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise CommandFailed(
                f"{option} - reads standard input, but it is a terminal; pipe the value in", ExitCode.USAGE
            )
        raw, source = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1), "standard input"
    elif value.startswith("@"):
        source = value[1:]
        try:
            with Path(source).open("rb") as file:
                raw = file.read(MAX_INPUT_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CommandFailed(f"{source!r} can't be read: {reason}", ExitCode.USAGE) from None
    else:
        raw, source = value.encode("utf-8", errors="surrogateescape"), option
    if len(raw) > MAX_INPUT_BYTES:
        raise CommandFailed(f"{source} is larger than {MAX_INPUT_BYTES:,} bytes", ExitCode.USAGE)
    try:
        return raw.decode("utf-8-sig"), source  # Windows editors may add a byte order mark
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{source} is not UTF-8: invalid byte at offset {error.start}", ExitCode.USAGE) from None


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON value")
