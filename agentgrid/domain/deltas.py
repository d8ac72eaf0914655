"""Deltas: parts of a model's answer, streamed to everyone watching the run. They are best effort, and stored neither in history nor in a table."""

from __future__ import annotations

import hashlib

ANNOUNCE_SECONDS = 10.0
"""How often the announcement of a watched run is repeated."""
WATCHED_SECONDS = 30.0
"""How long a worker honours an announcement."""
MAX_WATCHED = 1_000
"""How many runs a worker treats as watched at a time."""
MARKS_AT_ONCE = 400
"""Marks per notification, which PostgreSQL limits to 8,000 bytes."""

MAX_TEXT = 1_000
"""Characters per delta. With the names of tools, they fit a notification in any script and with every escape."""
MAX_TOOLS = 10
MAX_TOOL_NAME = 64

_MARK_DIGITS = 16


def watch_mark(workflow_id: str) -> str:
    """The mark that represents a watched run in an announcement. The run's worker can compute it; nobody else learns the id."""
    return hashlib.sha256(workflow_id.encode(errors="surrogatepass")).hexdigest()[:_MARK_DIGITS]
