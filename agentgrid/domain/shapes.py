"""The shape of an approval: what it has in common with approvals that ask for the same thing with other values. Pure.

Approvals of one shape can be read side by side, and a new one is compared with the last one of its shape. So the projector stores the shape with
the approval, together with the small values in which approvals of one shape differ.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from agentgrid.domain import moments

SHAPE_LENGTH = 16
"""Number of hexadecimal digits: enough to distinguish all shapes of an installation."""

MAX_SMALL = 16
"""Maximum number of arguments that a list shows per approval."""
MAX_NAME = 64
MAX_SMALL_TEXT = 120
"""Longer texts are truncated with an ellipsis."""
MAX_SMALL_NUMBER = 2**53
"""Larger numbers are left out: many JSON parsers would change them."""

LABELLED = 2
MAX_LABEL = 80

CUT = "…"
_CHANGING = re.compile(r"\S*\d\S*")


def shape_of(
    *,
    tool: str | None,
    version: str | None,
    workflow: str,
    title: str,
    arguments: dict[str, Any] | None,
) -> str:
    """A short stable hash. For a tool call it covers the tool, its version and the names of its arguments.

    An explicit approval has no tool: the hash covers its workflow, its title without the words that contain a digit, and the names in what it
    shows.
    """
    names = None if arguments is None else sorted(arguments)
    if tool is not None:
        parts: list[Any] = ["tool", tool, version, names]
    else:
        parts = ["explicit", workflow, _CHANGING.sub("#", title), names]
    # ASCII-escaped, because a name may contain lone surrogates.
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()[:SHAPE_LENGTH]


def arguments_of(stored: Any, parameters: Sequence[str] = ()) -> dict[str, Any] | None:
    """The arguments in a stored payload by name, or None if they have no names or are not stored whole.

    parameters: the names of a plain activity's positional arguments.
    """
    if not isinstance(stored, dict):
        return None
    if isinstance(value := stored.get("value"), dict):
        return value
    values = stored.get("values", [value] if "value" in stored else None)
    if parameters and isinstance(values, list) and len(values) <= len(parameters):
        return dict(zip(parameters, values, strict=False))
    return None


def small(arguments: dict[str, Any] | None) -> dict[str, Any]:
    """The first scalars among the arguments, in order. Long texts are truncated; large numbers and long names are left out."""
    scalars: dict[str, Any] = {}
    for name, value in (arguments or {}).items():
        if len(scalars) == MAX_SMALL:
            break
        if len(name) > MAX_NAME or not _is_small(value):
            continue
        scalars[name] = cut(value, MAX_SMALL_TEXT) if isinstance(value, str) else value
    return scalars


def label(arguments: dict[str, Any] | None) -> str | None:
    """The first small arguments on one line, to tell calls of one tool apart; None if there are none."""
    values = [
        moments.readable(str(value)) or str(value)
        for value in small(arguments).values()
        if value not in (None, "") and not isinstance(value, bool)
    ]
    return cut(", ".join(values[:LABELLED]), MAX_LABEL) or None


def texts_in(arguments: dict[str, Any]) -> list[str]:
    """The names of the arguments that are or contain texts."""
    return [name for name, value in arguments.items() if _holds_text(value)]


def _holds_text(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_text, value.values()))
    return any(map(_holds_text, value)) if isinstance(value, list) else isinstance(value, str)


def cut(text: str, limit: int) -> str:
    """The text, truncated to at most this many characters."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + CUT


def _is_small(value: Any) -> bool:
    if isinstance(value, int | float):
        return abs(value) <= MAX_SMALL_NUMBER
    return value is None or isinstance(value, str)
