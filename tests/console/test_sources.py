"""The console's sources: its own tests, its types, and that they are those of the API's document."""

from __future__ import annotations

from pathlib import Path

from hatch_build import run

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "console"
MODULES = Path("node_modules")


def test_its_own_tests_pass() -> None:
    run(CONSOLE, MODULES / "vitest" / "vitest.mjs", "run", "--reporter", "dot")


def test_its_types_hold() -> None:
    run(CONSOLE, MODULES / "typescript" / "bin" / "tsc", "--noEmit")


def test_the_clients_types_are_those_of_the_apis_document(tmp_path: Path) -> None:
    made = tmp_path / "schema.d.ts"
    run(CONSOLE, MODULES / "openapi-typescript" / "bin" / "cli.js", ROOT / "tests/api/openapi.json", "-o", made)
    kept = CONSOLE / "src" / "api" / "schema.d.ts"
    assert made.read_text() == kept.read_text(), "run `npm run types` in console/"
