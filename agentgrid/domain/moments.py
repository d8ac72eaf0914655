"""Times as readable text. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::(\d\d(?:\.\d{1,9})?))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_UTC = ("Z", "+00:00")


def readable(text: str) -> str | None:
    """An ISO 8601 time as people write it: `2026-11-29 14:30 UTC+02:00`. None for any other text.

    Only zero seconds are dropped, because somebody may approve the value that this represents.
    """
    match = _ISO.fullmatch(text)
    if match is None or not _is_a_time(text):
        return None
    day, minute, seconds, zone = match.groups()
    shown = f"{day} {minute}" + ("" if seconds is None or not float(seconds) else f":{seconds}")
    return shown + ("" if zone is None else " UTC" if zone in _UTC else f" UTC{zone}")


def in_utc(at: datetime) -> str:
    """A time to the second in UTC, in the form of `readable`."""
    return readable(at.astimezone(UTC).isoformat(timespec="seconds")) or ""


def _is_a_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
