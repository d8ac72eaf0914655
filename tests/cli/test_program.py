"""Commands that are printed to be copied can be run as they stand, in the folder where they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentgrid.cli.program import program
from agentgrid.cli.run_view import answer_command, started
from tests.cli.conftest import Cli


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program in `.venv/bin`, which is not on the PATH; this process came from it."""
    binary = tmp_path / "my project" / ".venv" / "bin" / "agentgrid"
    binary.parent.mkdir(parents=True)
    binary.write_text('#!/bin/sh\necho ran "$@"\n')
    binary.chmod(0o755)
    folder = tmp_path / "my project"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(binary)])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return folder


def ran(command: str) -> str:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip()


def test_the_hints_of_a_run_name_the_program_by_its_path(project: Path) -> None:
    assert program() == ".venv/bin/agentgrid"
    assert ran(answer_command("a-1", "reviewer")) == "ran approval approve a-1 --profile reviewer"
    hint = started({"run_id": "r-1", "status": "queued"}, replayed=False).plain.splitlines()[-1]
    assert ran(hint) == "ran run watch r-1"


def test_from_elsewhere_it_is_the_whole_path_quoted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent / "home")
    assert program() == f"'{project}/.venv/bin/agentgrid'"
    assert ran(f"{program()} overview") == "ran overview"


def test_in_its_own_folder_it_is_no_bare_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / ".venv" / "bin")
    assert ran(f"{program()} overview") == "ran overview"


def test_on_the_path_it_is_the_bare_name_if_that_is_the_same_file(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "agentgrid"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}{os.pathsep}/usr/bin:/bin")
    assert program() == ".venv/bin/agentgrid", "another program has the name"
    monkeypatch.setenv("PATH", f"{project}/.venv/bin{os.pathsep}/usr/bin:/bin")
    assert program() == "agentgrid"


def test_a_new_project_is_told_commands_that_run_in_its_folder(cli: Cli, project: Path) -> None:
    # The command line's fixture calls the program `agentgrid`, in this folder.
    (project / "agentgrid").write_text('#!/bin/sh\necho ran "$@"\n')
    (project / "agentgrid").chmod(0o755)
    said = cli("init", "demo").out
    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert ran(" && ".join(commands)).splitlines() == ["ran check", "ran dev"]
