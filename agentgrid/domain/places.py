"""Where in a project's code something failed, read from the text of a Python traceback that another machine may have written."""

from __future__ import annotations

import re

LIBRARIES = ("agentgrid", "temporalio", "pydantic", "pydantic_core")
"""The packages through which a project's code runs, wherever it is installed itself."""

MAX_PLACE = 200
_FRAME = re.compile(r'^[ \t]*File "([^"\n]+)", line (\d{1,9})(?:, in ([^\s]{1,100}))?', re.MULTILINE)
_INSTALLED = re.compile(r"/(?:site|dist)-packages/([^/]+)")
_STANDARD = re.compile(r"/lib/python3[^/]*/|^[A-Za-z]:/.*/Lib/")
_OWN = re.compile(r"/agentgrid/(?:sdk|worker|domain|temporal|testing)/\w+\.py$")


def failing_place(stack: str) -> str | None:
    """The innermost `file:line in function` of a traceback that is neither Python's, Temporal's nor AgentGrid's; None if there is none.

    Unlike `sdk.places`, this knows nothing of the machine: libraries are recognised by the usual names of their folders.
    """
    found: str | None = None
    installed: str | None = None
    for file, line, function in _FRAME.findall(stack):
        path = file.replace("\\", "/")
        if path.startswith("<") or _OWN.search(path):
            continue
        place = _shown(path, line, function)
        if (package := _INSTALLED.search(path)) is not None:
            installed = installed if package[1] in LIBRARIES else place
        elif not _STANDARD.search(path):
            found = place
    # A project that is installed itself has no other frames than those of packages.
    return found or installed


def _shown(path: str, line: str, function: str) -> str:
    short = "/".join(path.split("/")[-3:]).lstrip("/")
    return f"{short[-MAX_PLACE:]}:{line}" + (f" in {function}" if function else "")
