"""`agentgrid check` finds every mistake at once, each with its place, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli

PROGRAM = [sys.executable, "-m", "agentgrid.cli.main"]


@pytest.fixture
def project(cli: Cli, tmp_path: Path) -> Path:
    cli("init", "demo")
    return tmp_path / "demo"


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "check", *arguments], cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=60
    )


def test_a_good_grid_passes_from_any_folder_of_the_project(project: Path) -> None:
    done = check(project / "workflows", "-o", "json")
    assert done.returncode == ExitCode.OK, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["workflows"] == ["publish_note"]
    assert found["tools"] == ["publish"]


def test_every_fault_is_reported_at_once_with_file_and_line(project: Path) -> None:
    (project / "activities" / "careless.py").write_text(
        "import agentgrid as ag\n\n\n@ag.tool(title='Careless')\nasync def careless(a) -> int:\n    return 1\n"
    )
    (project / "activities" / "missing.py").write_text("import nothing_of_that_name\n")
    (project / "workflows" / "broken.py").write_text("def broken(:\n")
    done = check(project)
    assert done.returncode == ExitCode.FAILED
    assert f"{project}/activities/careless.py:4: " in done.stderr
    assert "no timeout" in done.stderr
    assert "'a' has no annotation" in done.stderr
    assert f"{project}/activities/missing.py:1: " in done.stderr
    assert f"{project}/workflows/broken.py:1: " in done.stderr
    assert "4 faults" in done.stderr


def test_faults_as_json_have_file_line_and_message(project: Path) -> None:
    (project / "activities" / "missing.py").write_text("\nimport nothing_of_that_name\n")
    done = check(project, "-o", "json")
    assert done.returncode == ExitCode.FAILED
    (fault,) = json.loads(done.stdout)["faults"]
    assert (Path(fault["file"]).name, fault["line"]) == ("missing.py", 2)


def test_code_that_ends_the_process_at_import_is_a_fault_too(project: Path) -> None:
    (project / "worker.py").write_text("raise SystemExit(0)\n")
    done = check(project)
    assert done.returncode == ExitCode.FAILED
    assert "worker:grid" in done.stderr


@pytest.mark.parametrize(
    "table",
    ["", "[tool.agentgrid]", "[tool.agentgrid]\ngrid = 3", "[tool.agentgrid]\ngrid = 'worker'", "[tool.agentgrid"]
    + ["[tool]\nagentgrid = 1", "[tool.agentgrid]\ngrid = 'a b:c'"]
    + [f"[tool.agentgrid]\ngrid = 'worker:grid'\ndev = {dev}" for dev in ("1", "{setup = 'x'}", "{example = 'x'}")],
)
def test_a_wrong_table_is_a_usage_error_that_names_the_file(cli: Cli, tmp_path: Path, table: str) -> None:
    (tmp_path / "pyproject.toml").write_text(table)
    ended = cli("check")
    assert ended.code == ExitCode.USAGE
    assert "pyproject.toml" in ended.err
