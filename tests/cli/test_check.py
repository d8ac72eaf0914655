"""`agentgrid check` finds every fault at once, each with its location, in a process of its own."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from agentgrid.cli.exits import ExitCode
from agentgrid.cli.project import load_project
from agentgrid.dev.command import _commands
from agentgrid.dev.environments import Places
from agentgrid.dev.stack import Options, Stack
from agentgrid.dev.terminal import Terminal
from tests.cli.conftest import Cli
from tests.forks import COMMAND_LINE, Forks


@pytest.fixture
def project(cli: Cli, tmp_path: Path) -> Path:
    cli("init", "demo")
    return tmp_path / "demo"


Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check(forks: Forks) -> Check:
    """Runs `agentgrid check` in a folder, in a process of its own."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.run(COMMAND_LINE, "check", *arguments, cwd=folder)

    return run


def test_a_good_grid_passes_from_any_folder_of_the_project(check: Check, project: Path) -> None:
    done = check(project / "workflows", "-o", "json")
    assert done.returncode == ExitCode.OK, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["workflows"] == ["answer_question", "publish_note"]
    assert report["tools"] == ["find_notes", "publish"]
    assert report["agents"] == ["librarian"]
    assert report["secrets"] == []


def test_every_fault_is_reported_at_once_with_file_and_line(check: Check, project: Path) -> None:
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


def test_faults_as_json_have_file_line_and_message(check: Check, project: Path) -> None:
    (project / "activities" / "missing.py").write_text("\nimport nothing_of_that_name\n")
    done = check(project, "-o", "json")
    assert done.returncode == ExitCode.FAILED
    (fault,) = json.loads(done.stdout)["faults"]
    assert (Path(fault["file"]).name, fault["line"]) == ("missing.py", 2)


def test_code_that_ends_the_process_at_import_is_a_fault_too(check: Check, project: Path) -> None:
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
def test_an_invalid_table_is_a_usage_error_that_names_the_file(cli: Cli, tmp_path: Path, table: str) -> None:
    (tmp_path / "pyproject.toml").write_text(table)
    ended = cli("check")
    assert ended.code == ExitCode.USAGE
    assert "pyproject.toml" in ended.err


EXAMPLE = 'example = { workflow = "publish_note", input = { author = "Ada", text = "Hello from demo" } }'
STALE_EXAMPLES = {
    "a workflow that was renamed": (
        '{ workflow = "publish_notes" }',
        "no workflow 'publish_notes'; did you mean 'publish_note'?",
    ),
    "a workflow of another project": (
        '{ workflow = "x" }',
        "there is no workflow 'x'; the workflows are answer_question, publish_note",
    ),
    "a field that was renamed": (
        '{ workflow = "publish_note", input = { author = "Ada", txt = "Hello" } }',
        "input/txt: unknown field; did you mean 'text'?",
    ),
    "no input": ('{ workflow = "publish_note" }', "input: null is not of type"),
    "a date": ('{ workflow = "publish_note", input = 2026-01-01 }', "its input is not JSON"),
}


@pytest.mark.parametrize("name", STALE_EXAMPLES)
def test_an_example_that_cannot_be_started_is_a_fault_at_its_line(check: Check, project: Path, name: str) -> None:
    example, expected = STALE_EXAMPLES[name]
    file = project / "pyproject.toml"
    assert EXAMPLE in file.read_text()
    file.write_text(file.read_text().replace(EXAMPLE, f"example = {example}"))
    done = check(project)
    assert done.returncode == ExitCode.FAILED
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if text.startswith("example"))
    assert f"{file}:{line}: the example can't be started: " in done.stderr
    assert expected in done.stderr


async def test_dev_reports_a_stale_example_and_does_not_suggest_it(project: Path) -> None:
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace('"publish_note"', '"publish_notes"'))
    text = io.StringIO()
    terminal = Terminal(verbose=False, console=Console(file=text, width=200))
    stack = Stack(
        load_project(project), project / ".agentgrid", Options(ports={}, reload=True, only_servers=False), terminal
    )
    stack._places = Places(home=stack.home, api_url="http://127.0.0.1:1", temporal_address="127.0.0.1:2")
    assert [line for _, line in _commands(stack) if "run start publish_notes" in line]
    faults = await stack.check()
    stack._say_example_fault()
    assert faults == (), "the code itself is fine, so a worker may run it"
    assert "did you mean 'publish_note'?" in text.getvalue()
    assert [line for _, line in _commands(stack) if "run start" in line] == []
