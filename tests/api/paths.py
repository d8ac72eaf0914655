"""Fills in the parameters of route paths."""

from __future__ import annotations

import re
from collections.abc import Mapping

_TYPED = {"event_id": "7", "side": "input"}
"""Parameters that aren't free-form names."""


def filled(path: str, things: Mapping[str, str] | None = None, *, other: str = "no-such-thing") -> str:
    """The path with its parameters replaced by these identifiers; parameters without one become `other`."""
    values = _TYPED | dict(things or {})
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: values.get(part[1], other), path)
