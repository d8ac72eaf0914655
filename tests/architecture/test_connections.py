"""No code takes a second connection while it holds one: many such requests at once could exhaust the pools and deadlock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TAKES = frozenset({"direct", "reading", "writing", "stating", "changing", "acquire"})
"""Functions that take a connection from one of the two pools."""
CONNECTION_TYPES = frozenset({"Session", "ReadSession", "WriteSession", "Connection"})
"""A function with a parameter of one of these types runs while its caller holds a connection."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Place = tuple[str, str]
"""A module, and the name of one of its functions or `Class.method`."""


class Code:
    """The functions of the control plane and their calls of each other, as far as names show them."""

    def __init__(self, root: Path) -> None:
        self.functions: dict[Place, Function] = {}
        self._imports: dict[str, dict[str, str]] = {}
        for path in sorted((root / "agentgrid").rglob("*.py")):
            if path.relative_to(root).parts[1] in {"api", "control", "db"}:
                self._add(".".join(path.relative_to(root).with_suffix("").parts), ast.parse(path.read_text()))

    def _add(self, module: str, tree: ast.Module) -> None:
        names = self._imports[module] = {}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                names |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
            elif isinstance(node, Function):
                self.functions[module, node.name] = node
            elif isinstance(node, ast.ClassDef):
                methods = (method for method in node.body if isinstance(method, Function))
                self.functions |= {(module, f"{node.name}.{method.name}"): method for method in methods}

    def called(self, at: Place, call: ast.Call) -> Place | None:
        """The function of the control plane that this call in `at` names."""
        module, within = at[0], at[1].partition(".")[0]
        match call.func:
            case ast.Name(id=name):
                place = (module, name) if (module, name) in self.functions else self._imported(module, name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                place = (module, f"{within}.{name}")
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                place = (self._imports[module].get(owner, ""), name)
            case _:
                return None
        return place if place in self.functions else None

    def _imported(self, module: str, name: str) -> Place:
        home, _, original = self._imports[module].get(name, "").rpartition(".")
        return home, original

    def takers(self) -> set[Place]:
        """All functions that take a connection, directly or through a function that they call."""
        called = {
            at: [(takes(call), self.called(at, call)) for call in calls(node)] for at, node in self.functions.items()
        }
        takers = {at for at, targets in called.items() if any(direct for direct, _ in targets)}
        while more := {
            at for at, targets in called.items() if at not in takers and any(target in takers for _, target in targets)
        }:
            takers |= more
        return takers


def calls(*nodes: ast.AST) -> Iterator[ast.Call]:
    return (child for node in nodes for child in ast.walk(node) if isinstance(child, ast.Call))


def takes(call: ast.Call) -> bool:
    return getattr(call.func, "id", getattr(call.func, "attr", "")) in TAKES


def while_held(function: Function) -> list[ast.Call]:
    """The calls made while the function holds a connection."""
    parameters = (*function.args.args, *function.args.kwonlyargs)
    annotations = [ast.unparse(parameter.annotation) for parameter in parameters if parameter.annotation]
    if any(CONNECTION_TYPES & set(annotation.split(" | ")) for annotation in annotations):
        return list(calls(*function.body))
    held: list[ast.Call] = []
    for node in ast.walk(function):
        if isinstance(node, ast.AsyncWith):
            takes_connection = [
                isinstance(item.context_expr, ast.Call) and takes(item.context_expr) for item in node.items
            ]
            if any(takes_connection):
                held += calls(*node.items[takes_connection.index(True) + 1 :], *node.body)
    return held


def nested(root: Path) -> list[str]:
    code = Code(root)
    takers = code.takers()
    return [
        f"{at[0]}.{at[1]}, line {call.lineno}: {ast.unparse(call.func)}"
        for at, node in code.functions.items()
        for call in while_held(node)
        if takes(call) or code.called(at, call) in takers
    ]


def test_no_code_takes_a_second_connection_while_it_holds_one() -> None:
    assert nested(ROOT) == []


def test_the_check_finds_a_second_connection(tmp_path: Path) -> None:
    (tmp_path / "agentgrid/api").mkdir(parents=True)
    (tmp_path / "agentgrid/api/routes.py").write_text(
        "from agentgrid.api import usual\n"
        "async def route(session: Session, plane: Plane): await usual.steps(plane)\n"
        "async def apart(plane): await usual.steps(plane)\n"
        "async def within(plane):\n    async with reading(plane.engine) as session:\n        await usual.steps(plane)\n"
    )
    (tmp_path / "agentgrid/api/usual.py").write_text(
        "async def steps(plane): await _steps(plane)\n"
        "async def _steps(plane):\n    async with direct(plane.pool) as one, direct(plane.pool) as other: ...\n"
    )
    assert [place.partition(":")[0] for place in nested(tmp_path)] == [
        "agentgrid.api.routes.route, line 2",
        "agentgrid.api.routes.within, line 6",
        "agentgrid.api.usual._steps, line 3",
    ]
