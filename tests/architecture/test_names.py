"""One name has one meaning: class names are unique in the package, and modules are imported under their own names."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def modules() -> dict[Path, ast.Module]:
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in sorted((ROOT / "agentgrid").rglob("*.py"))}


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def test_no_two_classes_share_a_name(modules: dict[Path, ast.Module]):
    names = Counter(
        node.name
        for tree in modules.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_module_is_imported_under_its_own_name_or_prefixed_with_its_package(
    modules: dict[Path, ast.Module],
):
    names = {dotted(path) for path in modules}
    renamed = [
        f"{path}: {alias.name} as {alias.asname}"
        for path, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and f"{node.module}" in names
        for alias in node.names
        if alias.asname
        and f"{node.module}.{alias.name}" in names
        and alias.asname != f"{str(node.module).rpartition('.')[2]}_{alias.name}"
    ]
    assert renamed == []
