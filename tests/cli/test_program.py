"""Commands that are printed for copying run as is, in the folder where they are printed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from agentgrid.cli.profiles import ApiTarget, load_profiles, save_profiles
from agentgrid.cli.program import program
from agentgrid.cli.run_view import pending_approval, started_message
from tests.cli.conftest import Cli, FakeServer, Reply


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program in `.venv/bin`, which is not on the PATH; this process claims to be that program."""
    binary = tmp_path / "my project" / ".venv" / "bin" / "agentgrid"
    binary.parent.mkdir(parents=True)
    binary.write_text('#!/bin/sh\necho ran "$@"\n')
    binary.chmod(0o755)
    folder = tmp_path / "my project"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(binary)])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("AGENTGRID_HOME", str(folder / ".agentgrid"))
    return folder


def ran(command: str) -> str:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip()


APPROVAL = {"approval_id": "a-1", "title": "Send", "approvers": ["editors"], "expires_at": None}
RUN = {"run_id": "r-1", "status": "queued"}


def as_(profile: str) -> ApiTarget:
    return ApiTarget(url="http://127.0.0.1:8700", key=None, profile=profile)


def hint(shown: Text) -> str:
    """The command after "with"."""
    return shown.plain.rpartition(" with")[2]


def test_the_hints_of_a_run_name_the_program_by_its_path(project: Path) -> None:
    assert program() == ".venv/bin/agentgrid"
    assert (
        ran(hint(pending_approval(APPROVAL, {"a-1": as_("reviewer")}))) == "ran approval approve a-1 --profile reviewer"
    )
    assert ran(hint(started_message(RUN, replayed=False))) == "ran run watch r-1"


def test_hints_set_a_home_that_is_not_the_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".venv" / "bin" / "agentgrid").write_text('#!/bin/sh\necho "$AGENTGRID_HOME" "$@"\n')
    monkeypatch.setenv("AGENTGRID_HOME", "other home")
    hints = [hint(pending_approval(APPROVAL, {"a-1": as_("operator")})), hint(started_message(RUN, replayed=False))]
    monkeypatch.delenv("AGENTGRID_HOME")
    home = project / "other home"
    assert [ran(each) for each in hints] == [f"{home} approval approve a-1", f"{home} run watch r-1"]


def test_a_hint_wider_than_the_terminal_is_still_one_command(project: Path) -> None:
    approval = APPROVAL | {"approval_id": "01a20fd4-0c13-71fa-ac7f-a2d72b1dc013"}
    console = Console(file=io.StringIO(), width=64, force_terminal=True, color_system=None)
    console.print(pending_approval(approval, {approval["approval_id"]: as_("the reviewer")}, width=console.width))
    shown = Text(console.file.getvalue())  # type: ignore[attr-defined]
    assert max(map(len, shown.plain.splitlines())) <= 64
    assert ran(hint(shown)) == f"ran approval approve {approval['approval_id']} --profile the reviewer"


def test_the_hint_after_a_start_names_the_profile_that_started_the_run(
    cli: Cli, server: FakeServer, home: Path
) -> None:
    server.on("POST /workflows/greet/runs", Reply(status=201, body={"run_id": "r-1", "status": "queued"}))
    profiles = load_profiles(home / "profiles.toml")
    save_profiles(home / "profiles.toml", profiles | {"mine": replace(profiles["operator"], name="mine")})
    assert "run watch r-1\n" in cli("run", "start", "greet").out
    assert "run watch r-1 --profile mine\n" in cli("run", "start", "greet", "--profile", "mine").out


def test_from_another_folder_the_program_is_its_quoted_absolute_path(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent / "home")
    assert program() == f"'{project}/.venv/bin/agentgrid'"
    assert ran(f"{program()} overview") == "ran overview"


def test_in_its_own_folder_the_program_is_not_a_bare_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / ".venv" / "bin")
    assert ran(f"{program()} overview") == "ran overview"


def test_the_program_is_a_bare_name_only_if_the_path_finds_the_same_file(
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


def test_a_new_project_names_commands_that_run_in_its_folder(cli: Cli, project: Path) -> None:
    # The command line's fixture calls the program `agentgrid`, in this folder.
    (project / "agentgrid").write_text('#!/bin/sh\necho ran "$@"\n')
    (project / "agentgrid").chmod(0o755)
    output = cli("init", "demo").out
    commands = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    assert ran(" && ".join(commands)).splitlines() == ["ran check", "ran dev"]
