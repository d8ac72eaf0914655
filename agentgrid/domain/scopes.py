"""Scopes: the workflows whose runs a principal may see, as globs of their names. Pure; `db/scopes.py` is the SQL equivalent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from agentgrid.domain.activities import TOOL_PREFIX

EVERY_WORKFLOW = frozenset({"*"})
MAX_GLOB = 255
_OTHER_SYNTAX = frozenset("[]{}!^\\")
"""Special characters of other glob dialects, refused so that nobody expects them to work here."""


def is_everything(globs: Iterable[str]) -> bool:
    """Whether the scope is every workflow."""
    return "*" in globs


def fault(glob: str) -> str | None:
    """What is wrong with the glob, or None. `*` matches any text, `?` one character, everything else itself."""
    if not 0 < len(glob) <= MAX_GLOB:
        return f"a glob must have 1 to {MAX_GLOB} characters"
    if not glob.isprintable() or _OTHER_SYNTAX & set(glob):
        return f"{glob!r} is not a valid glob: use workflow names, with `*` for any text and `?` for one character"
    return None


def is_exact(glob: str) -> bool:
    """Whether the glob is a plain workflow name."""
    return not {"*", "?"} & set(glob)


def admits(globs: Iterable[str], workflow: str) -> bool:
    """Whether the workflow is in the scope."""
    return any(glob == "*" or _pattern(glob).fullmatch(workflow) is not None for glob in globs)


def admits_call(globs: Iterable[str], tool: str) -> bool:
    """Whether the scope lets its principal call this tool directly: only by a glob that begins with `tool.`, not by `*`.

    A workflow may request an approval, or check its input, before it calls a tool. Otherwise a principal that may start the workflow could bypass
    that.
    """
    return any(
        glob.startswith(TOOL_PREFIX) and _pattern(glob).fullmatch(TOOL_PREFIX + tool) is not None for glob in globs
    )


@lru_cache(maxsize=1000)
def _pattern(glob: str) -> re.Pattern[str]:
    # No backtracking across stars: each star matches as little as possible, and the text after it is searched for once.
    parts = ["".join("." if char == "?" else re.escape(char) for char in part) for part in glob.split("*")]
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    first, *middle, last = parts
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + last, re.DOTALL)
