"""Lone surrogates: JSON escapes can contain them, PostgreSQL's `json` keeps them, and UTF-8 can't represent them."""

from __future__ import annotations

import json
from typing import Any


def sendable(value: Any) -> Any:
    """The JSON value with each lone surrogate replaced by `?`, including those in keys."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-8", "replace"))
    return value
