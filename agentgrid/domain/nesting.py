"""The nesting depth of JSON values. Most code that reads, writes or shows them is recursive, so every entry point has a limit."""

from __future__ import annotations

from typing import Any

MAX_STORED = 200
"""Limit for stored and shown values. Pydantic serialises up to 255 levels, and a response adds some around the value."""


def is_deeper(value: Any, levels: int) -> bool:
    """Whether the value has more levels than this. A scalar or an empty array or object is one level. Not recursive."""
    level = [value]
    for _ in range(levels):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True
