"""A grid: finds, checks and digests every workflow and tool in a project's packages."""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib
import inspect
import pkgutil
import re
import sys
import traceback
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import ModuleType
from typing import Any

from temporalio import workflow as temporal
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from agentgrid.domain.handlers import Handlers
from agentgrid.domain.policies import Risk
from agentgrid.errors import RegistrationError, RegistrationErrors
from agentgrid.sdk import lint
from agentgrid.sdk.handlers import faults_of, handlers_of
from agentgrid.sdk.places import place_of, reworded
from agentgrid.sdk.schema import (
    canonical_source,
    input_schema_of,
    is_mutable,
    is_secret,
    json_fault,
    schema_of,
    secret_defaults,
    version_of,
)
from agentgrid.sdk.source import Source
from agentgrid.sdk.tools import Tool
from agentgrid.sdk.workflows import SPEC, WorkflowSpec

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
"""Valid names of workflows and tools: they must work in a URL, a shell and a metric."""

GIVEN_AWAY = (
    "{!r} has a secret as its default, which is visible in the schema: read it from the environment inside a tool"
)

PASSED_THROUGH = ("agentgrid", "pydantic", "pydantic_core", "annotated_types", "cryptography", "rfc8785", "uuid_utils")
"""Modules that workflow code and interceptors must share: in the sandbox each side would otherwise have its own copy."""


@dataclass(frozen=True, kw_only=True)
class RegisteredWorkflow:
    """A workflow class with its spec and module."""

    cls: type[Any]
    spec: WorkflowSpec
    file: str
    line: int
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] = field(default_factory=dict)
    handlers: Handlers = field(default_factory=Handlers)
    version: str = ""

    @property
    def description(self) -> str:
        """The class's docstring."""
        return inspect.cleandoc(self.cls.__doc__ or "")


class Grid:
    """Every workflow and tool in these packages (or modules). Imports are lazy.

    name: a short name of the deployment; Temporal's history shows it, with the grid's digest, on every workflow task.
    """

    def __init__(self, name: str, *packages: ModuleType | str) -> None:
        self.name = name
        self._packages = packages

    @functools.cached_property
    def _found(self) -> tuple[tuple[ModuleType, ...], tuple[RegistrationError, ...]]:
        modules: list[ModuleType] = []
        faults: list[RegistrationError] = []
        for package in self._packages:
            try:
                root = importlib.import_module(package) if isinstance(package, str) else package
            except Exception as error:
                faults.append(_import_fault(str(package), error))
                continue
            modules.append(root)
            for info in pkgutil.walk_packages(
                getattr(root, "__path__", ()), f"{root.__name__}.", onerror=lambda _name: None
            ):
                if info.name.rsplit(".", 1)[-1] == "__main__":
                    continue
                try:
                    modules.append(importlib.import_module(info.name))
                except Exception as error:
                    # One broken module must not hide other modules' faults.
                    faults.append(_import_fault(info.name, error))
        return tuple(modules), tuple(faults)

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        """The modules that could be imported."""
        return self._found[0]

    @functools.cached_property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        """Every tool, by name."""
        found = {
            id(value): value for module in self.modules for value in vars(module).values() if isinstance(value, Tool)
        }
        return tuple(sorted(found.values(), key=lambda tool: str(tool.name)))

    @functools.cached_property
    def workflows(self) -> tuple[RegisteredWorkflow, ...]:
        """Every workflow, by name, with its schemas and version."""
        found = []
        for module in self.modules:
            for cls in vars(module).values():
                if inspect.isclass(cls) and SPEC in vars(cls) and cls.__module__ == module.__name__:
                    found.append(self._register(cls, module))
        return tuple(sorted(found, key=lambda registered: str(registered.spec.name)))

    def _register(self, cls: type[Any], module: ModuleType) -> RegisteredWorkflow:
        spec: WorkflowSpec = vars(cls)[SPEC]
        input_schema, output_schema = _boundary(cls)
        imported = self._imported(module)
        sources = [canonical_source(source.file) for source in imported]
        return RegisteredWorkflow(
            cls=cls,
            spec=spec,
            file=inspect.getsourcefile(cls) or "",
            line=_line_of(cls),
            input_schema=input_schema,
            output_schema=output_schema,
            handlers=handlers_of(cls, [source.tree for source in imported]),
            version=version_of(spec.name, sources, input_schema, output_schema),
        )

    def _imported(self, module: ModuleType) -> list[Source]:
        """The module and the grid's modules that it imports, directly or indirectly, as far as they have a file."""
        pending, seen = [module.__name__], {module.__name__}
        while pending:
            for name in self._sources[pending.pop()].imports():
                if name in self._sources and name not in seen:
                    seen.add(name)
                    pending.append(name)
        return [self._sources[name] for name in sorted(seen) if self._sources[name].file]

    @functools.cached_property
    def _sources(self) -> dict[str, Source]:
        return {module.__name__: Source(module) for module in self.modules}

    @functools.cached_property
    def digest(self) -> str:
        """The digest of everything registered: Temporal's history shows it as the build that completed each workflow task."""
        return version_of([registered.version for registered in self.workflows], [tool.version for tool in self.tools])

    @property
    def shared_modules(self) -> tuple[str, ...]:
        """The top-level packages with tools and without workflows: shared with the sandbox, so that their drivers aren't imported again."""
        packages = {tool.fn.__module__.split(".")[0] for tool in self.tools}
        homes = {registered.cls.__module__.split(".")[0] for registered in self.workflows}
        return tuple(sorted(packages - homes))

    def check(self) -> None:
        """Raise RegistrationErrors with every fault in the registered code, or return."""
        faults = [*self._found[1], *self._tool_faults(), *self._workflow_faults()]
        if not NAME.fullmatch(self.name):
            faults.append(RegistrationError(f"the grid's name {self.name!r} must match {NAME.pattern}"))
        if not self.tools and not self.workflows and not faults:
            faults.append(
                RegistrationError(
                    f"the grid {self.name!r} has no workflows and no tools: pass it the packages that contain them"
                )
            )
        if faults:
            raise RegistrationErrors(faults)

    def _tool_faults(self) -> Iterator[RegistrationError]:
        seen: dict[str, Tool[..., Any]] = {}
        for tool in self.tools:
            for message in _faults_of(tool):
                yield RegistrationError(f"tool {tool.name!r}: {message}", file=tool.file, line=tool.line)
            if (other := seen.get(str(tool.name))) is not None:
                yield RegistrationError(
                    f"tool {tool.name!r} is already registered at {other.file}:{other.line}",
                    file=tool.file,
                    line=tool.line,
                )
            seen[str(tool.name)] = tool
        yield from lint.activity_faults(self._sources)

    def _workflow_faults(self) -> Iterator[RegistrationError]:
        seen: dict[str, RegisteredWorkflow] = {}
        for registered in self.workflows:
            name, file, line = registered.spec.name, registered.file, registered.line
            if not _named(name):
                yield RegistrationError(f"workflow {name!r}: the name must match {NAME.pattern}", file=file, line=line)
            if (other := seen.get(str(name))) is not None:
                yield RegistrationError(
                    f"workflow {name!r} is already registered at {other.file}:{other.line}", file=file, line=line
                )
            seen[str(name)] = registered
            for message in (*_boundary_faults(registered), *faults_of(registered.handlers)):
                yield RegistrationError(f"workflow {name!r}: {message}", file=file, line=line)
            try:
                restrictions = SandboxRestrictions.default.with_passthrough_modules(
                    *PASSED_THROUGH, *self.shared_modules
                )
                _build(SandboxedWorkflowRunner(restrictions=restrictions), registered.cls)
            except Exception as error:
                at = place_of(error) or (file, line)
                why = reworded(str(error))
                why = why if why != str(error) else f"{type(error).__name__}: {why}"
                yield RegistrationError(
                    f"workflow {name!r} can't be built in the sandbox: {why}", file=at[0], line=at[1]
                )
        yield from lint.faults([registered.cls for registered in self.workflows], self._sources)
        for source in self._sources.values():
            yield from _undecidable(source)


def _build(runner: SandboxedWorkflowRunner, cls: type[Any]) -> None:
    """Build a workflow in the sandbox, like a starting worker. The SDK requires a running event loop for it."""

    async def build() -> None:
        runner.prepare_workflow(temporal._Definition.must_from_class(cls))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(build())
    else:
        runner.prepare_workflow(temporal._Definition.must_from_class(cls))


def _import_fault(name: str, error: BaseException) -> RegistrationError:
    if isinstance(error, RegistrationError):
        return error
    place = place_of(error)
    if place is None and error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = (last.filename, last.lineno or 0)
    if isinstance(error, SyntaxError):
        return RegistrationError(f"{name}: {error.msg}", file=error.filename or "", line=error.lineno or 0)
    return RegistrationError(
        f"{name} can't be imported: {type(error).__name__}: {error}",
        file=place[0] if place else "",
        line=place[1] if place else 0,
    )


def _line_of(cls: type[Any]) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return 0


def _boundary_faults(registered: RegisteredWorkflow) -> Iterator[str]:
    """Faults in the parameters of a workflow's run method. Its result may be anything that the data converter supports."""
    run = temporal._Definition.must_from_class(registered.cls).run_fn
    hints = typing.get_type_hints(run, include_extras=True)
    for parameter in list(inspect.signature(run).parameters.values())[1:]:
        if parameter.name not in hints:
            yield f"parameter {parameter.name!r} of its run method has no annotation"
        elif (why := json_fault(hints[parameter.name])) is not None:
            yield f"parameter {parameter.name!r} of its run method can't be represented in JSON: {why}"
        if is_mutable(parameter.default):
            yield f"parameter {parameter.name!r} of its run method has a mutable default; use None or an immutable value"
        if is_secret(parameter.name, parameter.default):
            yield GIVEN_AWAY.format(parameter.name)
    yield from map(GIVEN_AWAY.format, secret_defaults(registered.input_schema))
    yield from _schema_faults(registered.input_schema)


def _schema_faults(schema: dict[str, Any]) -> Iterator[str]:
    """Why the input schema can't be used for validation. A hand-written schema can contain anything."""
    # Imported here, because workflow code imports this package and never validates.
    from agentgrid.domain import schemas

    try:
        schemas.compiled(schema)
    except ValueError as error:
        yield f"its input schema can't be used: {error}"


def _boundary(cls: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of a workflow's run method: its parameters as one input, and its result."""
    definition = temporal._Definition.must_from_class(cls)
    hints = typing.get_type_hints(definition.run_fn, include_extras=True)
    parameters = list(inspect.signature(definition.run_fn).parameters.values())[1:]
    types = [hints.get(parameter.name, Any) for parameter in parameters]
    if not types:
        taken: dict[str, Any] = {"type": "null"}
    elif len(types) == 1:
        taken = input_schema_of(types[0])
    else:
        required = sum(parameter.default is parameter.empty for parameter in parameters)
        taken = {**input_schema_of(tuple[tuple(types)]), "items": False, "minItems": required}  # type: ignore[misc]
    return taken, schema_of(hints["return"]) if "return" in hints else {}


def _named(name: Any) -> bool:
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def _lasting(value: Any) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


def _faults_of(tool: Tool[..., Any]) -> Iterator[str]:
    """The tool's faults. The types of its options have not been checked before."""
    if not _named(tool.name):
        yield f"the name must match {NAME.pattern}"
    if not (isinstance(tool.title, str) and tool.title.strip()):
        yield "has no title: add one for approvers and operators"
    if not inspect.iscoroutinefunction(tool.fn):
        yield "must be an async function"
    if tool.timeout is None:
        yield "has no timeout: set the maximum duration of one attempt, e.g. timeout=timedelta(seconds=20)"
    elif not _lasting(tool.timeout):
        yield "its timeout must be a positive timedelta"
    if tool.heartbeat is not None and not _lasting(tool.heartbeat):
        yield "its heartbeat must be a positive timedelta"
    if type(tool.retries) is not int or not 0 <= tool.retries <= 100:
        yield "its retries must be 0 to 100"
    if not isinstance(tool.risk, str) or tool.risk not in set(Risk):
        yield f"its risk is {tool.risk!r}; it must be one of {', '.join(Risk)}"
    elif tool.local and Risk(tool.risk).writes and not tool.idempotent:
        yield "local=True is only for risk 'read' or idempotent tools: a crash in the workflow task runs it again"
    try:
        yield from map(GIVEN_AWAY.format, secret_defaults(tool.signature.input_schema))
        yield from _schema_faults(tool.signature.input_schema)
    except TypeError as error:
        yield str(error)
    except NameError as error:
        yield f"an annotation can't be resolved: {error}"
    except Exception as error:
        yield f"its signature can't be read: {type(error).__name__}: {error}"


def _undecidable(source: Source) -> Iterator[RegistrationError]:
    """Approvals that nobody can decide: a literal empty list of approvers."""
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "approval"):
            continue
        for keyword in node.keywords:
            if (
                keyword.arg == "approvers"
                and isinstance(keyword.value, (ast.List, ast.Tuple, ast.Set))
                and not keyword.value.elts
            ):
                yield RegistrationError(
                    "nobody can decide this approval: its approvers are empty",
                    file=source.file,
                    line=node.lineno,
                )


def load_grid(reference: str) -> Grid:
    """The grid at `module:attribute`, as `[tool.agentgrid] grid` names it. Raises RegistrationErrors."""
    module_name, _, attribute = reference.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        grid = getattr(importlib.import_module(module_name), attribute or "grid")
    except Exception as error:
        raise RegistrationErrors([_import_fault(reference, error)]) from error
    if not isinstance(grid, Grid):
        raise RegistrationErrors([RegistrationError(f"{reference} is a {type(grid).__name__}, not an agentgrid.Grid")])
    return grid
