"""Half of a surrogate pair: JSON's escapes can write it, PostgreSQL's `json` keeps it, and no UTF-8 can hold it."""

from __future__ import annotations

import json
from typing import Any


def sendable(value: Any) -> Any:
    """The JSON value with each lone surrogate replaced by `?`, in keys too."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return value
