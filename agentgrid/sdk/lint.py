"""Static checks of source code. In workflow code: side effects, cycles of child runs, calls that aren't awaited, and raising a tool's error. In
activities: calling a tool, and blocking the worker.

Workflow code can't use clocks, randomness, files, the network or threads. The SDK's sandbox refuses the same at run time, but by then the run is
stuck on failing code. The list comes from the sandbox's own restrictions, so that both agree. The check reads only source code: imported names
and their attributes, in workflow methods and in the grid's functions that they use. Tools may do all of this, and so may code under
`workflow.unsafe.sandbox_unrestricted()`, on its author's responsibility. But a tool or other activity can't call a tool, which would bypass the
gate.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from temporalio.worker.workflow_sandbox import SandboxMatcher, SandboxRestrictions

from agentgrid.errors import RegistrationError, ToolError
from agentgrid.sdk.awaits import forgotten
from agentgrid.sdk.names import AWAITED, BLOCKING, ELSEWHERE
from agentgrid.sdk.places import Place, refusal
from agentgrid.sdk.secrets import Secret
from agentgrid.sdk.source import Function, Source
from agentgrid.sdk.tools import INSIDE_ACTIVITY, Tool

MAX_REEXPORTS = 10
"""Maximum number of re-exports through which a name is followed: two modules that import it from each other would loop forever."""

STARTS_A_CHILD = ("execute_child_workflow", "start_child_workflow")

Path = tuple[str, ...]


def faults(workflows: Sequence[type[Any]], sources: Mapping[str, Source]) -> Iterator[RegistrationError]:
    """The faults in the code of these workflow classes, each with its line. sources: the grid's modules, by name."""
    for reader in _reached(workflows, sources):
        yield from reader.faults()
    starts = {cls: [start for reader in _reached([cls], sources) for start in reader.starts] for cls in workflows}
    for cycle, (file, line) in _cycles(starts):
        names = " starts ".join(cls.__name__ for cls in (*cycle, cycle[0]))
        yield RegistrationError(
            f"{names}, without an end: use continue-as-new instead; if the depth is bounded, "
            "pass the child's name as a string",
            file=file,
            line=line,
        )


def activity_faults(sources: Mapping[str, Source]) -> Iterator[RegistrationError]:
    """Tool calls and blocking calls in the tools and activities of these modules, each with its line."""
    activities = [
        (source, node)
        for source in sources.values()
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and _executed_elsewhere(node)
    ]
    for reader in _readers(activities, sources):
        for line, name in sorted(set(reader.tools)):
            yield RegistrationError(INSIDE_ACTIVITY.format(name), file=reader.file, line=line)
        for line, name in sorted(set(reader.blocking)):
            yield RegistrationError(
                f"{name} blocks the whole worker: await an async equivalent, or use asyncio.to_thread({name}, ...)",
                file=reader.file,
                line=line,
            )


def _reached(workflows: Iterable[type[Any]], sources: Mapping[str, Source]) -> Iterator[_Reader]:
    """The workflows' methods and the grid's functions that they use, directly or indirectly, without duplicates."""
    methods = [
        (sources[base.__module__], method)
        for cls in workflows
        for base in cls.__mro__
        if base.__module__ in sources
        for method in _methods(sources[base.__module__], base.__name__)
    ]
    yield from _readers(methods, sources)


def _readers(pending: list[tuple[Source, Function]], sources: Mapping[str, Source]) -> Iterator[_Reader]:
    """These functions and the grid's functions that they use, directly or indirectly, without duplicates."""
    seen: set[int] = set()
    while pending:
        source, function = pending.pop(0)
        if id(function) not in seen:
            seen.add(id(function))
            reader = _Reader(source, function, sources)
            pending += reader.used
            yield reader


Start = tuple[type[Any], Place]
"""A child that workflow code starts, and the place of the start."""


def _cycles(starts: Mapping[type[Any], Sequence[Start]]) -> Iterator[tuple[list[type[Any]], Place]]:
    """The shortest cycle of child starts through each workflow, without duplicates, with the place of the start that closes it."""
    reported: set[frozenset[type[Any]]] = set()
    for first in starts:
        pending, seen = [[first]], {first}
        while pending:
            path = pending.pop(0)
            for child, place in starts.get(path[-1], ()):
                if child is first and frozenset(path) not in reported:
                    reported.add(frozenset(path))
                    yield path, place
                if child not in seen:
                    seen.add(child)
                    pending.append([*path, child])


def _bound_by(node: ast.AST) -> str | None:
    """The local name that a node binds in the function, if any."""
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    if isinstance(
        node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
    ):
        return node.name
    return None


def _calls_bound_by(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """The local names that a node binds to the result of a call, which may create an instance of a class."""
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        pairs = [(node.targets[0], node.value)]
    elif isinstance(node, (ast.With, ast.AsyncWith)):
        pairs = [(item.optional_vars, item.context_expr) for item in node.items]
    for target, value in pairs:
        if isinstance(target, ast.Name) and isinstance(value, ast.Call):
            yield target.id, value


def _methods(source: Source, name: str) -> Iterator[Function]:
    cls = source.classes.get(name)
    for node in cls.body if cls is not None else ():
        if isinstance(node, Function) and not _executed_elsewhere(node):
            yield node


def _executed_elsewhere(function: Function) -> bool:
    """Whether it is a tool or an activity, by its decorator."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called).split(".")[-1] == "tool" or ast.unparse(called).endswith("activity.defn"):
            return True
    return False


def _refused(path: Path) -> Path | None:
    """The part of a dotted name that workflow code can't use, or None if all of it is allowed."""
    for matcher in (SandboxRestrictions.invalid_module_members_default, ELSEWHERE):
        if length := _refused_length(matcher, path):
            return path[:length]
    return None


def _refused_length(matcher: SandboxMatcher, path: Path) -> int:
    """The number of parts after which the sandbox's matcher refuses the name at run time; 0 if it doesn't."""
    for length, name in enumerate(path, start=1):
        if name in matcher.exclude:
            return 0
        child = matcher.children.get(name) or matcher.children.get("*")
        if not {name, "*"}.isdisjoint(matcher.access | matcher.use) or (child is not None and child.match_self):
            return length
        if child is None:
            return 0
        matcher = child
    return 0


def _value_at(path: Path) -> Any:
    """The value of a dotted name in an imported module; None if there is none."""
    return getattr(sys.modules.get(".".join(path[:-1])), path[-1], None)


def _tool_in(path: Path) -> str | None:
    """The tool that this name refers to, directly or through its method `call`."""
    if isinstance(_value_at(path), Tool):
        return path[-1]
    return _tool_in(path[:-1]) if path[-1] == "call" and len(path) > 2 else None


def _is_secret(path: Path) -> bool:
    return isinstance(_value_at(path), Secret) or path == ("agentgrid", "secret")


def _is_tool_error(path: Path) -> bool:
    value = _value_at(path)
    return isinstance(value, type) and issubclass(value, ToolError)


class _Reader(ast.NodeVisitor):
    """Visits one function and its nested functions. Records forbidden names, and what the function uses, calls and starts in the grid."""

    def __init__(self, source: Source, function: Function, sources: Mapping[str, Source]) -> None:
        self.forbidden: list[tuple[int, Path]] = []
        self.used: list[tuple[Source, Function]] = []
        self.starts: list[Start] = []
        self.tools: list[tuple[int, str]] = []
        self.blocking: list[tuple[int, str]] = []
        self.tool_errors: list[tuple[int, str]] = []
        self.secrets: list[int] = []
        self._function = function
        self._is_async = False
        self.file = source.file
        self._source = source
        self._sources = sources
        inner = list(ast.walk(function))
        self._names = ChainMap(dict(pair for node in inner for pair in source.bound(node)), source.names)
        self._own = {name for node in inner if node is not function and (name := _bound_by(node)) is not None}
        bound = [pair for node in inner for pair in _calls_bound_by(node)]
        self._calls = {name: call for name, call in bound if [other for other, _ in bound].count(name) == 1}
        """The calls that local variables are bound to, if they are bound only once."""
        self._read_function(function)

    def faults(self) -> Iterator[RegistrationError]:
        """The faults of this function as workflow code."""
        for line, path in sorted(set(self.forbidden)):
            yield RegistrationError(refusal(path), file=self.file, line=line)
        for line, name in sorted(set(forgotten(self._function, self._coroutine_called))):
            message = f"the call of {name} is never awaited, so it does nothing: write `await {name.split()[-1]}(...)`"
            yield RegistrationError(message, file=self.file, line=line)
        for line, name in sorted(set(self.tool_errors)):
            message = (
                f"workflow code can't raise {name}: only tools can. Here it would fail the workflow task, which Temporal retries "
                "forever: raise temporalio.exceptions.ApplicationError instead, which fails the run"
            )
            yield RegistrationError(message, file=self.file, line=line)

        for line in sorted(set(self.secrets)):
            message = "workflow code can't read a secret: its value would be written to history; read it inside a tool"
            yield RegistrationError(message, file=self.file, line=line)

    def _coroutine_called(self, call: ast.Call) -> str | None:
        """The tool or SDK function whose coroutine this call creates, for messages."""
        path = self._path(call.func)
        if path is None or isinstance(call.func, ast.Call):
            return None
        if (tool := _tool_in(path)) is not None:
            return f"the tool {tool}"
        return ast.unparse(call.func) if path in AWAITED else None

    def _read_function(self, node: Function | ast.Lambda) -> None:
        """Visit the executed parts, without decorators and annotations."""
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        outer, self._is_async = self._is_async, isinstance(node, ast.AsyncFunctionDef)
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self._is_async = outer

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _read_function

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        # Catching a module's error doesn't count as using the module.
        for statement in node.body:
            self.visit(statement)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        entered = [self._path(item.context_expr) for item in node.items]
        if not any(path and path[-1] == "sandbox_unrestricted" for path in entered):
            self.generic_visit(node)

    visit_AsyncWith = visit_With

    def visit_Raise(self, node: ast.Raise) -> None:
        raised = self._path(node.exc) if node.exc is not None else None
        if raised and _is_tool_error(raised):
            self.tool_errors.append((node.lineno, raised[-1]))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._path(node.func)
        if called and (tool := _tool_in(called)) is not None:
            self.tools.append((node.lineno, tool))
        if called and called[-1] == "value" and _is_secret(called[:-1]):
            self.secrets.append(node.lineno)
        if self._is_async and (blocks := self._blocking_part(node, called)):
            self.blocking.append((node.lineno, ".".join(blocks).removeprefix("__builtins__.")))
        if called and called[-1] in STARTS_A_CHILD and node.args and (named := self._path(node.args[0])):
            child = self._class_at(named) or self._class_at(named[:-1])
            if child is not None:
                self.starts.append((child, (self._source.file, node.lineno)))
        self.generic_visit(node)

    def _blocking_part(self, node: ast.Call, called: Path | None) -> Path:
        """The blocking function in a call, even at the start of a chain; empty if there is none."""
        if called:
            return called[: _refused_length(BLOCKING, called)]
        method = self._path_of_instance(node.func)
        # The call that created the variable is visited separately.
        return method if method and _refused_length(BLOCKING, method) == len(method) else ()

    def _class_at(self, path: Path) -> type[Any] | None:
        source = self._sources.get(".".join(path[:-1]))
        value = getattr(source.module, path[-1], None) if source is not None else None
        return value if isinstance(value, type) else None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._recorded(node):
            self.visit(node.value)
            return
        inner: ast.expr = node
        while isinstance(inner, (ast.Attribute, ast.Call)):
            if isinstance(inner, ast.Call):
                for argument in (*inner.args, *inner.keywords):
                    self.visit(argument)
            inner = inner.func if isinstance(inner, ast.Call) else inner.value

    def visit_Name(self, node: ast.Name) -> None:
        self._recorded(node)

    def _recorded(self, node: ast.Attribute | ast.Name) -> bool:
        """Record what the full name refers to. Returns whether it is known."""
        path = self._path(node)
        if path is None:
            return False
        if (refused := _refused(path)) is not None:
            self.forbidden.append((node.lineno, refused))
        elif (source := self._sources.get(".".join(path[:-1]))) is not None:
            function = source.functions.get(path[-1])
            if function is not None and not _executed_elsewhere(function):
                self.used.append((source, function))
        return True

    def _path(self, node: ast.expr) -> Path | None:
        """The dotted name that an expression refers to. An instance has the members of its class."""
        if isinstance(node, ast.Name):
            return self._path_of_name(node.id)
        if isinstance(node, ast.Call):
            return self._path(node.func)
        if isinstance(node, ast.Attribute):
            path = self._path(node.value)
            return None if path is None else self._defined_as((*path, node.attr))
        return None

    def _path_of_instance(self, node: ast.expr) -> Path | None:
        """The dotted name of a method of a local variable, by the class that the variable is an instance of."""
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            return None
        call = self._calls.get(node.value.id)
        path = None if call is None else self._path(call)
        return None if path is None else (*path, node.attr)

    def _defined_as(self, path: Path) -> Path:
        """The dotted name of the definition, because the grid's modules may re-export their imports."""
        for _ in range(MAX_REEXPORTS):
            source = self._sources.get(".".join(path[:-1]))
            reexported = source.names.get(path[-1]) if source is not None else None
            if reexported is None:
                break
            path = tuple(reexported.split("."))
        return path

    def _path_of_name(self, name: str) -> Path | None:
        if name in self._own:
            return None
        if (imported := self._names.get(name)) is not None:
            return self._defined_as(tuple(imported.split(".")))
        if hasattr(self._source.module, name):
            return (*self._source.name.split("."), name)
        return ("__builtins__", name) if hasattr(builtins, name) else None
