"""The console's sources: its own tests, its types, and that they match the OpenAPI document."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from hatch_build import run
from tests.console.stack import built_console

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "console"
MODULES = Path("node_modules")


def test_the_consoles_own_tests_pass() -> None:
    run(CONSOLE, MODULES / "vitest" / "vitest.mjs", "run", "--reporter", "dot")


def test_the_console_type_checks() -> None:
    run(CONSOLE, MODULES / "typescript-native" / "bin" / "tsc", "--noEmit")


def test_the_clients_types_match_the_openapi_document(tmp_path: Path) -> None:
    generated = tmp_path / "schema.d.ts"
    run(CONSOLE, MODULES / "openapi-typescript" / "bin" / "cli.js", ROOT / "tests/api/openapi.json", "-o", generated)
    committed = CONSOLE / "src" / "api" / "schema.d.ts"
    assert generated.read_text() == committed.read_text(), "run `npm run types` in console/"


def test_a_source_distribution_becomes_a_wheel_with_the_console_and_without_node(tmp_path: Path) -> None:
    built = built_console()
    python(ROOT, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    (packed,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / packed.name.removesuffix(".tar.gz")
    assert {path.name for path in unpacked.iterdir()} == {
        *(
            "agentgrid",
            "console",
            "hatch_build.py",
            "pyproject.toml",
            "README.md",
            "CHANGELOG.md",
            "LICENSE",
            "PKG-INFO",
            ".gitignore",
        )
    }
    assert not (unpacked / "console" / "node_modules").exists()

    script = "from hatchling.build import get_requires_for_build_wheel; print(get_requires_for_build_wheel())"
    assert python(unpacked, "-c", script).strip() == "[]"
    python(unpacked, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    assert names >= {
        f"agentgrid/api/console/_dist/{file.relative_to(built).as_posix()}"
        for file in built.rglob("*")
        if file.is_file()
    }


def python(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
