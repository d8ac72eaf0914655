"""How a person calls this program: the beginning of every command that is printed to be copied."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from agentgrid.cli.project import DEFAULT_HOME, find_root, home
from agentgrid.errors import SettingsError

CONTINUED = " \\"
"""At the end of a line: the command goes on in the next one."""


def command(*arguments: str, width: int | None = None) -> str:
    """A command with these arguments, to be copied into any terminal in this folder.

    It names AGENTGRID_HOME where this process has another one than a command here would have of itself. width: break lines longer than
    this as a shell lets them be broken; a terminal that did so itself would make two commands of one.
    """
    words = [program(), *map(shlex.quote, arguments)]
    if not _home_is_usual():
        words.insert(0, f"AGENTGRID_HOME={shlex.quote(str(home()))}")
    lines = [words[0]]
    for word in words[1:]:
        if width is not None and len(lines[-1]) + 1 + len(word) + len(CONTINUED) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return f"{CONTINUED}\n".join(lines)


def _home_is_usual() -> bool:
    try:
        return home() == (find_root() or Path.cwd()).absolute() / DEFAULT_HOME
    except SettingsError:
        return False


def program(folder: Path | None = None) -> str:
    """The program's name if the shell would find this very one by it, else its path from the folder (by default this one).

    Ready for a shell: quoted where that is needed.
    """
    mine = Path(sys.argv[0]).absolute()
    found = shutil.which("agentgrid")
    if found is not None and Path(found).resolve() == mine.resolve():
        return "agentgrid"
    if mine.name == "agentgrid":
        return shlex.quote(_runnable(mine, folder))
    return f"{shlex.quote(_runnable(Path(sys.executable), folder))} -m agentgrid.cli.main"


def shown_path(path: Path, folder: Path | None = None) -> str:
    """The path from the folder (by default this one), or the whole path where it lies outside."""
    relative = os.path.relpath(path, folder)
    return str(path.absolute()) if relative.startswith("..") else relative


def _runnable(path: Path, folder: Path | None) -> str:
    """The shell takes a bare name for one to be looked up on the PATH."""
    shown = shown_path(path, folder)
    return shown if os.sep in shown else f"./{shown}"
