"""A new project is whole: it registers without faults, and its own tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli


@pytest.fixture
def project(cli: Cli, tmp_path: Path) -> Path:
    assert cli("init", "my-notes").code == ExitCode.OK
    return tmp_path / "my-notes"


def test_it_has_the_shape_of_every_project(project: Path) -> None:
    made = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "worker.py", "api.py", "workflows/notes.py", "activities/notes.py"} <= made
    assert {"tests/test_notes.py", ".gitignore", "README.md"} <= made
    assert not any(name.endswith(".tmpl") for name in made)
    assert tomllib.loads((project / "pyproject.toml").read_text())["tool"]["agentgrid"]["grid"] == "worker:grid"


def test_an_existing_folder_is_left_alone(cli: Cli, project: Path) -> None:
    (project / "worker.py").write_text("mine")
    assert cli("init", "my-notes").code == ExitCode.FAILED
    assert (project / "worker.py").read_text() == "mine"


def test_its_own_tests_pass(project: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
