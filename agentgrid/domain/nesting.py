"""How many levels a JSON value has. Most code that reads, writes or shows one is recursive, so each way in has a limit."""

from __future__ import annotations

from typing import Any

MAX_STORED = 200
"""Of what is stored and shown. Pydantic serialises up to 255 levels, and a response adds some around the value."""


def is_deeper(value: Any, levels: int) -> bool:
    """Whether the value has more levels than this. A scalar, and an empty array or object, is one level. Doesn't recurse."""
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
