"""Type checkers accept a user's project in which AgentGrid is installed with its types."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ("workflows", "activities", "worker.py", "api.py")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has AgentGrid installed."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "packages").mkdir()
    (folder / "packages" / "agentgrid").symlink_to(ROOT / "agentgrid")
    venv.create(folder / "venv")
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "installed.pth").write_text(f"{folder / 'packages'}\n{sysconfig.get_path('purelib')}\n")
    return folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A new project from `agentgrid init`, and the reference project."""
    folder = tmp_path_factory.mktemp("projects")
    subprocess.run(
        [sys.executable, "-m", "agentgrid.cli.main", "init", "fresh", "--in", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (folder / "reference").mkdir()
    for name in REFERENCE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "reference" / name)
    return {name: folder / name for name in ("fresh", "reference")}


def check(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a type checker in this folder. Returns its exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stdout + done.stderr


def mypy(folder: Path, python: Path) -> tuple[int, str]:
    return check(["mypy", "--strict", "--cache-dir", ".types", "--python-executable", str(python), "."], folder)


def pyright(folder: Path, python: Path, mode: str = "standard") -> tuple[int, str]:
    """Run Pyright, from the package that includes Node."""
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": mode}))
    return check(["basedpyright", "--pythonpath", str(python), "."], folder)


@pytest.mark.parametrize("name", ["fresh", "reference"])
def test_mypy_strict_accepts_a_users_project(projects: dict[str, Path], python: Path, name: str) -> None:
    code, output = mypy(projects[name], python)
    assert code == 0, output


@pytest.mark.parametrize(("name", "mode"), [("fresh", "strict"), ("reference", "standard")])
def test_pyright_accepts_a_users_project(projects: dict[str, Path], python: Path, name: str, mode: str) -> None:
    code, output = pyright(projects[name], python, mode)
    assert code == 0, output


MISTAKE = """
from datetime import timedelta
import agentgrid as ag

RULE = ag.Rule(rule_id="ask", tool="pay", effect=ag.Effect.REQUIRE_APPROVAL)

@ag.tool(title="Pay", risk="wirte", timeout=timedelta(seconds=5))
async def pay(cents: int) -> int:
    return cents
"""


def test_both_type_checkers_find_a_misspelt_risk_and_no_other_error(tmp_path: Path, python: Path) -> None:
    (tmp_path / "tools.py").write_text(MISTAKE)
    for code, output in (mypy(tmp_path, python), pyright(tmp_path, python)):
        assert code == 1, output
        assert "wirte" in output
        assert "1 error" in output
