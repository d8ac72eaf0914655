"""The source of a module: its syntax tree, and what its names refer to."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """The text of one module, read lazily; empty for a module without source."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.name = module.__name__
        self.file = module.__file__ if module.__file__ and module.__file__.endswith(".py") else ""

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(Path(self.file).read_text("utf-8") if self.file else "")

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """The names bound by imports outside functions and classes, with their dotted names."""
        return dict(pair for node in self._outside for pair in self.bound(node))

    @functools.cached_property
    def functions(self) -> dict[str, Function]:
        """The functions outside classes."""
        return {node.name: node for node in self._outside if isinstance(node, Function)}

    @functools.cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The top-level classes."""
        return {node.name: node for node in self._outside if isinstance(node, ast.ClassDef)}

    def imports(self) -> Iterator[str]:
        """The dotted names of everything that the module imports, at any level: modules, and names that may be modules."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                yield self._base(node)
            yield from (name for _, name in self.bound(node, whole=True))

    def named_by(self, functions: Collection[str]) -> Iterator[str]:
        """The literal first arguments of all calls of these functions, given by their dotted names."""
        names: dict[str, str] | None = None
        for node in ast.walk(self.tree):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            if names is None:
                names = dict(pair for inner in ast.walk(self.tree) for pair in self.bound(inner))
            first, _, rest = ast.unparse(node.func).partition(".")
            dotted = names.get(first, first) + (f".{rest}" if rest else "")
            if dotted in functions and isinstance(node.args[0].value, str):
                yield node.args[0].value

    def bound(self, node: ast.AST, *, whole: bool = False) -> Iterator[tuple[str, str]]:
        """The names that an import binds, with their dotted names; `import a.b` binds `a` but imports `a.b`."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name if alias.asname or whole else alias.name.split(".")[0]
                yield alias.asname or alias.name.split(".")[0], first
        elif isinstance(node, ast.ImportFrom):
            base = self._base(node)
            yield from ((alias.asname or alias.name, f"{base}.{alias.name}") for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        package = parts if hasattr(self.module, "__path__") else parts[:-1]
        return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])

    @functools.cached_property
    def _outside(self) -> list[ast.AST]:
        """The nodes outside functions and classes, including conditional ones."""
        nodes: list[ast.AST] = []
        pending: list[ast.AST] = [self.tree]
        while pending:
            for node in ast.iter_child_nodes(pending.pop()):
                nodes.append(node)
                if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                    pending.append(node)
        return nodes
