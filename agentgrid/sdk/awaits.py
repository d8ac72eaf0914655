"""Finds calls in workflow code that are never awaited: their coroutine never runs, so the run continues or ends without them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from agentgrid.sdk.source import Function

CONSUMERS = frozenset(
    {"bool", "dict", "float", "format", "hash", "int", "len", "max", "min", "print", "repr", "round", "sorted", "str"}
    | {"sum", "any", "all", "isinstance", "type", "enumerate", "zip"}
)
"""Builtins that use a value, so that a coroutine passed to them is never awaited."""

Node = ast.AST


def forgotten(function: Function, named: Callable[[ast.Call], str | None]) -> Iterator[tuple[int, str]]:
    """The line and name of each call of a coroutine function whose result is used or dropped without an await.

    named: returns the name of a call that makes a coroutine, or None. A coroutine that is passed to another function, stored in a structure or
    returned by a synchronous function may be awaited there, and is not reported.
    """
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and (name := named(call)) is not None and _is_lost(call, parents):
            yield call.lineno, name


def _is_lost(value: Node, parents: dict[Node, Node]) -> bool:
    parent = parents.get(value)
    if isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
        return _is_lost_as_a_name(parent, parents)
    return _is_taken(value, parent, parents)


def _is_taken(value: Node, parent: Node | None, parents: dict[Node, Node]) -> bool:
    """Whether this place needs the result rather than the coroutine."""
    if isinstance(
        parent, (ast.Expr, ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.FormattedValue, ast.Attribute)
    ):
        return not (isinstance(parent, ast.Attribute) and parent.attr in ("close", "send", "throw"))
    if isinstance(parent, (ast.If, ast.While, ast.IfExp, ast.Assert)):
        return parent.test is value
    if isinstance(parent, ast.Subscript):
        return parent.value is value
    if isinstance(parent, (ast.For, ast.comprehension)):
        return parent.iter is value
    if isinstance(parent, ast.Return):
        return _is_returned_by_a_coroutine(parent, parents)
    if isinstance(parent, ast.Call):
        return isinstance(parent.func, ast.Name) and parent.func.id in CONSUMERS
    return False


def _is_returned_by_a_coroutine(node: Node, parents: dict[Node, Node]) -> bool:
    at: Node | None = node
    while at is not None and not isinstance(at, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        at = parents.get(at)
    return isinstance(at, ast.AsyncFunctionDef)


def _is_lost_as_a_name(assignment: ast.Assign | ast.AnnAssign | ast.NamedExpr, parents: dict[Node, Node]) -> bool:
    """Whether a coroutine bound to a name is only used as if it were the result, or not at all."""
    targets = assignment.targets if isinstance(assignment, ast.Assign) else [assignment.target]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return False
    uses = [
        node
        for node in parents
        if isinstance(node, ast.Name) and node.id == targets[0].id and isinstance(node.ctx, ast.Load)
    ]
    if isinstance(assignment, ast.NamedExpr):
        return _is_taken(assignment, parents.get(assignment), parents)
    return all(_is_taken(use, parents.get(use), parents) for use in uses)
