"""The project that a command works on: the folder whose `pyproject.toml` has a `[tool.agentgrid]` table."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentgrid.cli.project_principals import known_keys, project_principals
from agentgrid.domain.principals import Principal
from agentgrid.errors import SettingsError

PROJECT_FILE = "pyproject.toml"
DEFAULT_HOME = ".agentgrid"
DEV_KEYS = ("setup", "example", "environment", "groups", "principals")


@dataclass(frozen=True, kw_only=True)
class Example:
    """The run that `agentgrid dev` suggests starting."""

    workflow: str
    input: Any = None


@dataclass(frozen=True, kw_only=True)
class Project:
    """The settings in `[tool.agentgrid]` and `[tool.agentgrid.dev]`."""

    root: Path
    grid: str
    """`module:attribute` of the Grid."""
    setup: tuple[str, ...] = ()
    """The command that creates what the project's tools need; safe to repeat."""
    example: Example | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the setup command and the worker."""
    principals: tuple[Principal, ...] = ()
    """The principals of the installation that `agentgrid dev` runs."""

    def import_from(self) -> None:
        """Make the project's modules importable, as `python -m` in its folder would."""
        root = str(self.root)
        if root not in sys.path:
            sys.path.insert(0, root)


def find_root(start: Path | None = None) -> Path | None:
    """The nearest project folder, from here upwards; None if there is none."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        file = folder / PROJECT_FILE
        if file.is_file() and "agentgrid" in _read(file).get("tool", {}):
            return folder
    return None


def load_project(start: Path | None = None) -> Project:
    """The project that contains this folder. Raises SettingsError if there is none, or if its table is invalid."""
    root = find_root(start)
    if root is None:
        raise SettingsError(
            f"no project here: neither {start or Path.cwd()} nor a folder above it has a pyproject.toml with "
            f'[tool.agentgrid] grid = "worker:grid"; `agentgrid init NAME` creates one'
        )
    file = root / PROJECT_FILE
    table = _read(file)["tool"]["agentgrid"]
    place = f"{file}: [tool.agentgrid]"
    grid = table.get("grid") if isinstance(table, dict) else None
    if not isinstance(grid, str) or not all(part.replace(".", "_").isidentifier() for part in grid.split(":", 1)):
        raise SettingsError(f'{place} needs grid = "module:attribute", such as "worker:grid"')
    if ":" not in grid:
        raise SettingsError(f'{place} grid = "{grid}" names no attribute; write "{grid}:grid"')
    known_keys(table, ("grid", "dev"), place)
    dev = table.get("dev", {})
    place = f"{file}: [tool.agentgrid.dev]"
    if not isinstance(dev, dict):
        raise SettingsError(f"{place} must be a table")
    known_keys(dev, DEV_KEYS, place)
    return Project(
        root=root,
        grid=grid,
        setup=_setup(dev, place),
        example=_example(dev, place),
        environment=_environment(dev, place),
        principals=project_principals(dev, place),
    )


def home() -> Path:
    """AGENTGRID_HOME, else `.agentgrid` next to the project's `pyproject.toml`, else `.agentgrid` here."""
    if configured := os.environ.get("AGENTGRID_HOME"):
        return Path(configured).absolute()
    return (find_root() or Path.cwd()).absolute() / DEFAULT_HOME


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file} can't be read: {error}") from None


def _setup(dev: dict[str, Any], place: str) -> tuple[str, ...]:
    setup = dev.get("setup", [])
    if not isinstance(setup, list) or not all(isinstance(word, str) for word in setup):
        raise SettingsError(f'{place} setup must be a list of strings, such as ["python", "-m", "activities.demo"]')
    return tuple(setup)


def _example(dev: dict[str, Any], place: str) -> Example | None:
    example = dev.get("example")
    if example is None:
        return None
    if not isinstance(example, dict) or not isinstance(example.get("workflow"), str):
        raise SettingsError(f'{place} example must be {{ workflow = "name", input = {{ ... }} }}')
    return Example(workflow=example["workflow"], input=example.get("input"))


def _environment(dev: dict[str, Any], place: str) -> dict[str, str]:
    environment = dev.get("environment", {})
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise SettingsError(f"{place} environment must be a table of strings")
    return environment
