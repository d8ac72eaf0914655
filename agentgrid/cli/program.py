"""Command lines for this program, printed for the user to copy."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from agentgrid.cli.project import DEFAULT_HOME, find_root, home
from agentgrid.errors import SettingsError

CONTINUATION = " \\"
"""The shell's line continuation."""


def command(*arguments: str, width: int | None = None) -> str:
    """A command line with these arguments, for copying into any terminal in this folder.

    It sets AGENTGRID_HOME if this process uses another home than a command started here would. width: break longer lines with a shell
    continuation; a line wrapped by the terminal itself would be copied as two commands.
    """
    words = [program(), *map(shlex.quote, arguments)]
    if not _home_is_default():
        words.insert(0, f"AGENTGRID_HOME={shlex.quote(str(home()))}")
    lines = [words[0]]
    for word in words[1:]:
        if width is not None and len(lines[-1]) + 1 + len(word) + len(CONTINUATION) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return f"{CONTINUATION}\n".join(lines)


def _home_is_default() -> bool:
    try:
        return home() == (find_root() or Path.cwd()).absolute() / DEFAULT_HOME
    except SettingsError:
        return False


def program(folder: Path | None = None) -> str:
    """The program's name if the shell finds this program under it, otherwise its path from the folder (default: the current one).

    Quoted for a shell where needed.
    """
    this_program = Path(sys.argv[0]).absolute()
    on_path = shutil.which("agentgrid")
    if on_path is not None and Path(on_path).resolve() == this_program.resolve():
        return "agentgrid"
    if this_program.name == "agentgrid":
        return shlex.quote(_runnable(this_program, folder))
    return f"{shlex.quote(_runnable(Path(sys.executable), folder))} -m agentgrid.cli.main"


def shown_path(path: Path, folder: Path | None = None) -> str:
    """The path relative to the folder (default: the current one), or the absolute path if it lies outside."""
    relative = os.path.relpath(path, folder)
    return str(path.absolute()) if relative.startswith("..") else relative


def _runnable(path: Path, folder: Path | None) -> str:
    """Prefix a bare file name with `./`: the shell would look it up on the PATH."""
    shown = shown_path(path, folder)
    return shown if os.sep in shown else f"./{shown}"
