"""Parts of a model's answer while it is being given, for those who watch the run. Outside history and every table; any may be lost."""

from __future__ import annotations

import hashlib

ANNOUNCE_SECONDS = 10.0
"""How often a watched run is announced again."""
WATCHED_SECONDS = 30.0
"""How long a worker believes an announcement."""
MAX_WATCHED = 1_000
"""How many runs a worker treats as watched at a time."""
MARKS_AT_ONCE = 400
"""Marks of one notification, which PostgreSQL limits to 8,000 bytes."""

MAX_TEXT = 1_000
"""Characters of one delta. In any script and with every escape, and with the names of tools, they fit a notification."""
MAX_TOOLS = 10
MAX_TOOL_NAME = 64

_MARK_DIGITS = 16


def watch_mark(workflow_id: str) -> str:
    """The name of a watched run in an announcement. Its worker can compute it; nobody else learns the id."""
    return hashlib.sha256(workflow_id.encode(errors="surrogatepass")).hexdigest()[:_MARK_DIGITS]
