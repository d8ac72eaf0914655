"""`agentgrid init NAME`: create a small project with passing tests."""

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
    name: Annotated[
        str, typer.Argument(help="The name of the project and its new folder: lower-case, such as my-project.")
    ],
    directory: Annotated[Path, typer.Option("--in", help="The folder in which to create it.")] = Path(),
) -> None:
    """Create a small project with passing tests. It has a workflow with an approval, another with an agent, and their tools."""
    if not NAME.fullmatch(name) or len(name) > 60:
        raise CommandFailed(
            f"{name!r} is not a valid project name: use lower-case letters and digits, joined by - or _, at most 60 characters",
            ExitCode.USAGE,
        )
    target = directory / name
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise CommandFailed(f"{target} already exists; choose another name") from None
    except OSError as error:
        raise CommandFailed(f"{target} can't be created: {error.strerror}") from None
    values = {"name": name, "grid": name.replace("-", "_")}
    for path, template in _skeleton(files("agentgrid.cli") / "skeleton"):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(template).substitute(values), encoding="utf-8")
    run = program(target)
    typer.echo(f"created {target}\n\n  cd {shlex.quote(str(target))}\n  {run} check\n  {run} dev")


def _skeleton(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The path and the template of every file in the new project."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _skeleton(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            name = entry.name.removesuffix(SUFFIX)
            yield prefix + RENAMED.get(name, name), entry.read_text(encoding="utf-8")
