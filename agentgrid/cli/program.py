"""How a person calls this program: the beginning of every command that is printed to be copied."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


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
