"""A new project is complete: it registers without faults, and its own tests pass."""

from __future__ import annotations

import os
import re
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


def test_it_has_the_standard_layout(project: Path) -> None:
    files = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "worker.py", "api.py", "workflows/notes.py", "activities/notes.py"} <= files
    assert {"workflows/answers.py", "tests/test_answers.py"} <= files
    assert {"tests/test_notes.py", ".gitignore", "README.md"} <= files
    assert not any(name.endswith(".tmpl") for name in files)
    assert tomllib.loads((project / "pyproject.toml").read_text())["tool"]["agentgrid"]["grid"] == "worker:grid"


def test_nothing_in_it_refers_to_the_other_project_of_this_name_on_the_package_index(project: Path) -> None:
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    groups = settings.get("dependency-groups", {}).values()
    dependencies = [*settings["project"]["dependencies"], *(entry for group in groups for entry in group)]
    assert not [entry for entry in dependencies if re.match(r"agentgrid\b", entry)]
    for file in ("pyproject.toml", "README.md"):
        text = (project / file).read_text()
        assert not re.search(r"(install|add)\b[^\n]*['\" ]agentgrid\b", text), file
        assert "checkout" in text, file


def test_an_existing_folder_is_left_unchanged(cli: Cli, project: Path) -> None:
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
    assert "5 passed" in done.stdout


def test_it_can_be_installed(project: Path) -> None:
    """Setuptools refuses to guess which of several folders are packages."""
    pytest.importorskip("setuptools")
    done = subprocess.run(
        [sys.executable, "-c", "from setuptools import setup; setup()", "--quiet", "egg_info"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (names,) = project.glob("*.egg-info/top_level.txt")
    assert set(names.read_text().split()) == {"activities", "api", "worker", "workflows"}
