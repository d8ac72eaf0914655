"""JSON pointers (RFC 6901)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

MAX_DIGITS = 9
"""Of an index: no list is longer, and Python converts only so many."""


def pointer(path: Iterable[str | int]) -> str:
    """The pointer to the value at this path; empty for the whole."""
    return "".join(f"/{escaped(str(part))}" for part in path)


def escaped(key: str) -> str:
    """The key as a part of a pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def at(root: Any, reference: str) -> Any:
    """The value that a pointer points to, below the root. Raises LookupError."""
    found = root
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and len(key) <= MAX_DIGITS:
            found = found[int(key)]
        else:
            raise LookupError(reference)
    return found


def referenced(root: Any, reference: Any) -> Any:
    """What a `$ref` within the document points to. Raises LookupError, also for a reference of another kind."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise LookupError(reference)
    return at(root, unquote(reference[1:]))
