"""JSON pointers (RFC 6901)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

MAX_DIGITS = 9
"""Maximum digits of an index: no list is longer, and Python limits how many digits it converts."""


def pointer(path: Iterable[str | int]) -> str:
    """The pointer to the value at this path; empty for the root."""
    return "".join(f"/{escaped(str(part))}" for part in path)


def escaped(key: str) -> str:
    """The key, escaped as a segment of a pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def at(root: Any, reference: str) -> Any:
    """The value that a pointer points to, below the root. Raises LookupError."""
    value = root
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and len(key) <= MAX_DIGITS:
            value = value[int(key)]
        else:
            raise LookupError(reference)
    return value


def referenced(root: Any, reference: Any) -> Any:
    """The target of a `$ref` within the document. Raises LookupError, also for any other kind of reference."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise LookupError(reference)
    return at(root, unquote(reference[1:]))
