"""The paths of all routes, with their parameters filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FORMS = {"event_id": "7", "side": "input"}
"""Parameters that are no names."""


def filled(path: str, things: Mapping[str, str] | None = None, *, other: str = "no-such-thing") -> str:
    """The path with the identifiers of these things; a parameter that none of them is for becomes `other`."""
    known = _FORMS | dict(things or {})
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: known.get(part[1], other), path)
