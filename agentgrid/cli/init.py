"""`agentgrid init NAME`: a small project of the same shape as every other, whose own tests pass."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.program import program

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
SUFFIX = ".tmpl"
RENAMED = {"gitignore": ".gitignore"}


def init(
    name: Annotated[str, typer.Argument(help="The project's name, and its new folder: lower-case, like my-project.")],
    directory: Annotated[Path, typer.Option("--in", help="The folder in which to make it.")] = Path(),
) -> None:
    """Make a small project: one workflow with an approval, one tool, and tests that pass."""
    if not NAME.fullmatch(name) or len(name) > 60:
        raise CommandFailed(
            f"{name!r} is no name for a project: lower-case letters and digits, joined by - or _, at most 60",
            ExitCode.USAGE,
        )
    target = directory / name
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise CommandFailed(f"{target} is already there; choose another name") from None
    except OSError as error:
        raise CommandFailed(f"{target} can't be made: {error.strerror}") from None
    values = {"name": name, "grid": name.replace("-", "_")}
    for path, template in _skeleton(files("agentgrid.cli") / "skeleton"):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(template).substitute(values), encoding="utf-8")
    me = program(target)
    typer.echo(f"made {target}\n\n  cd {shlex.quote(str(target))}\n  {me} check\n  {me} dev")


def _skeleton(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every file of the new project with its path."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _skeleton(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            name = entry.name.removesuffix(SUFFIX)
            yield prefix + RENAMED.get(name, name), entry.read_text(encoding="utf-8")
