"""Finds where a project's own code failed, and what to use instead of what the sandbox refused."""

from __future__ import annotations

import functools
import re
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

from agentgrid.domain.places import LIBRARIES

Place = tuple[str, int]
"""A file and a line number."""

INSTEAD = {
    "datetime": "use workflow.now()",
    "random": "use workflow.random()",
    "time": "use workflow.now(), or workflow.sleep() to wait",
    "uuid": "use workflow.uuid4()",
}

_FRAME = re.compile(r'^[ \t]*File "([^"]+)", line (\d+)', re.MULTILINE)
_REFUSED = re.compile(
    r"Cannot access (\S+) from inside a workflow\. If this is code from a module not used .*pass ?through\.?"
)


def refusal(path: tuple[str, ...]) -> str:
    """The error message for a name that workflow code can't use, with what to use instead."""
    name = path[-1] if path[0] == "__builtins__" else ".".join(path)
    return f"workflow code can't use {name}: it must be deterministic; {INSTEAD.get(path[0], 'use a tool instead')}"


def reworded(message: str) -> str:
    """Replace Temporal's advice to pass the refused module through, which would only hide the mistake."""
    return _REFUSED.sub(lambda match: refusal(tuple(match[1].removesuffix(".__call__").split("."))), message)


def place_of(error: BaseException) -> Place | None:
    """The innermost place in the project's code in an error's traceback, or None."""
    return _innermost((frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__))


def place_in(stack: str) -> Place | None:
    """Like `place_of`, from the text of a traceback."""
    return _innermost((file, int(line)) for file, line in _FRAME.findall(stack))


def failing_at(stack: str) -> str | None:
    """The innermost place in the project's code, from the text of a traceback, as `file:line in function`."""
    place = place_in(stack)
    if place is None:
        return None
    frame = re.search(rf'File "{re.escape(place[0])}", line {place[1]}, in (\S+)', stack)
    return shown(place) + (f" in {frame[1]}" if frame is not None else "")


def shown(place: Place) -> str:
    """The place as `file:line`: relative to the working directory, or outside it with only the last folders."""
    file = Path(place[0])
    try:
        text = str(file.relative_to(Path.cwd()))
    except (ValueError, OSError):
        text = "/".join(file.parts[-3:]).lstrip("/")
    return f"{text}:{place[1]}"


def _innermost(frames: Iterable[Place]) -> Place | None:
    own_code: Place | None = None
    installed: Place | None = None
    standard, packages, own = _folders()
    for file, line in frames:
        if file.startswith(("<", own)):
            continue
        inside = next((folder for folder in packages if file.startswith(folder)), None)
        if inside is not None:
            if file.removeprefix(inside).split("/")[0] not in LIBRARIES:
                installed = (file, line)
        elif not file.startswith(standard):
            own_code = (file, line)
    # If the project itself is installed, all its frames are those of packages.
    return own_code or installed


@functools.cache
def _folders() -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """The folders of the standard library, of installed packages, and of AgentGrid."""
    paths = sysconfig.get_paths()
    standard = tuple({f"{paths[name]}/" for name in ("stdlib", "platstdlib")})
    packages = tuple({f"{paths[name]}/" for name in ("purelib", "platlib")})
    return standard, packages, f"{Path(__file__).parents[1]}/"
