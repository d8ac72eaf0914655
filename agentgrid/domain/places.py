"""Finds where a project's code failed in the text of a Python traceback, possibly from another machine."""

from __future__ import annotations

import re

LIBRARIES = ("agentgrid", "temporalio", "pydantic", "pydantic_core")
"""Packages that call the project's code, and are skipped even if the project itself is installed as a package."""

MAX_PLACE = 200
_FRAME = re.compile(r'^[ \t]*File "([^"\n]+)", line (\d{1,9})(?:, in ([^\s]{1,100}))?', re.MULTILINE)
_INSTALLED = re.compile(r"/(?:site|dist)-packages/([^/]+)")
_STANDARD = re.compile(r"/lib/python3[^/]*/|^[A-Za-z]:/.*/Lib/")
_OWN = re.compile(r"/agentgrid/(?:sdk|worker|domain|temporal|testing)/\w+\.py$")


def failing_place(stack: str) -> str | None:
    """The innermost `file:line in function` of a traceback outside Python, Temporal and AgentGrid; None if there is none.

    Unlike `sdk.places`, this knows nothing about the machine: it recognises libraries by the usual names of their folders.
    """
    own: str | None = None
    installed: str | None = None
    for file, line, function in _FRAME.findall(stack):
        path = file.replace("\\", "/")
        if path.startswith("<") or _OWN.search(path):
            continue
        place = _shown(path, line, function)
        if (package := _INSTALLED.search(path)) is not None:
            installed = installed if package[1] in LIBRARIES else place
        elif not _STANDARD.search(path):
            own = place
    # If the project itself is installed, all its frames are those of packages.
    return own or installed


def _shown(path: str, line: str, function: str) -> str:
    short = "/".join(path.split("/")[-3:]).lstrip("/")
    return f"{short[-MAX_PLACE:]}:{line}" + (f" in {function}" if function else "")
