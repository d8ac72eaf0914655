"""Discovery of the modules, tools, agents and workflows in a project's packages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import traceback
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from temporalio import workflow as temporal

from agentgrid.domain.handlers import Handlers
from agentgrid.errors import RegistrationError
from agentgrid.sdk.agents import Agent
from agentgrid.sdk.handlers import handlers_of
from agentgrid.sdk.places import place_of
from agentgrid.sdk.schema import canonical_source, input_schema_of, schema_of, version_of
from agentgrid.sdk.secrets import Secret
from agentgrid.sdk.source import Source
from agentgrid.sdk.tools import Tool
from agentgrid.sdk.toolsets import Toolset
from agentgrid.sdk.workflows import SPEC, WorkflowSpec

SECRET = ("agentgrid.secret", "agentgrid.sdk.secrets.secret")


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


def imported(packages: Sequence[ModuleType | str]) -> tuple[tuple[ModuleType, ...], tuple[RegistrationError, ...]]:
    """All importable modules of these packages, and why the others can't be imported."""
    modules: list[ModuleType] = []
    faults: list[RegistrationError] = []
    for package in packages:
        try:
            root = importlib.import_module(package) if isinstance(package, str) else package
        except Exception as error:
            faults.append(import_fault(str(package), error))
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
                # A broken module must not hide the faults of others.
                faults.append(import_fault(info.name, error))
    return tuple(modules), tuple(faults)


def tools_in(modules: Iterable[ModuleType]) -> tuple[Tool[..., Any], ...]:
    """Every tool, sorted by name, including those of toolsets."""
    values = [value for module in modules for value in vars(module).values()]
    grouped = [tool for value in values if isinstance(value, Toolset) for tool in value]
    tools = {id(value): value for value in (*values, *grouped) if isinstance(value, Tool)}
    return tuple(sorted(tools.values(), key=lambda tool: str(tool.name)))


def toolsets_in(modules: Iterable[ModuleType]) -> tuple[Toolset, ...]:
    """Every toolset, sorted by name."""
    toolsets = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Toolset)}
    return tuple(sorted(toolsets.values(), key=lambda toolset: str(toolset.name)))


def agents_in(modules: Iterable[ModuleType]) -> tuple[Agent[Any], ...]:
    """Every agent, sorted by name."""
    agents = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Agent)}
    return tuple(sorted(agents.values(), key=lambda agent: str(agent.name)))


def secrets_in(sources: dict[str, Source]) -> tuple[str, ...]:
    """The names of the secrets in these modules: module-level values, and literal arguments of `secret(...)`."""
    names = {
        value.name for source in sources.values() for value in vars(source.module).values() if isinstance(value, Secret)
    }
    return tuple(sorted(names.union(*(source.named_by(SECRET) for source in sources.values()))))


def workflows_in(modules: Iterable[ModuleType], sources: dict[str, Source]) -> tuple[RegisteredWorkflow, ...]:
    """Every workflow, sorted by name, with its schemas and version. sources: the grid's modules, by name."""
    workflows = []
    for module in modules:
        for cls in vars(module).values():
            if inspect.isclass(cls) and SPEC in vars(cls) and cls.__module__ == module.__name__:
                workflows.append(_registered(cls, _reachable(module, sources)))
    return tuple(sorted(workflows, key=lambda registered: str(registered.spec.name)))


def _registered(cls: type[Any], reachable: Sequence[Source]) -> RegisteredWorkflow:
    spec: WorkflowSpec = vars(cls)[SPEC]
    input_schema, output_schema = _boundary(cls)
    texts = [canonical_source(source.file) for source in reachable]
    return RegisteredWorkflow(
        cls=cls,
        spec=spec,
        file=inspect.getsourcefile(cls) or "",
        line=_line_of(cls),
        input_schema=input_schema,
        output_schema=output_schema,
        handlers=handlers_of(cls, [source.tree for source in reachable]),
        version=version_of(spec.name, texts, input_schema, output_schema),
    )


def _reachable(module: ModuleType, sources: dict[str, Source]) -> list[Source]:
    """The module and the grid's modules that it imports, directly or indirectly, if they have a file."""
    pending, seen = [module.__name__], {module.__name__}
    while pending:
        for name in sources[pending.pop()].imports():
            if name in sources and name not in seen:
                seen.add(name)
                pending.append(name)
    return [sources[name] for name in sorted(seen) if sources[name].file]


def import_fault(name: str, error: BaseException) -> RegistrationError:
    """The fault of a module that can't be imported, with the place in the project's code."""
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


def _boundary(cls: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of a workflow's run method: its parameters as one input, and its result."""
    definition = temporal._Definition.must_from_class(cls)
    hints = typing.get_type_hints(definition.run_fn, include_extras=True)
    parameters = list(inspect.signature(definition.run_fn).parameters.values())[1:]
    types = [hints.get(parameter.name, Any) for parameter in parameters]
    if not types:
        input_schema: dict[str, Any] = {"type": "null"}
    elif len(types) == 1:
        input_schema = input_schema_of(types[0])
    else:
        required = sum(parameter.default is parameter.empty for parameter in parameters)
        input_schema = {**input_schema_of(tuple[tuple(types)]), "items": False, "minItems": required}  # type: ignore[misc]
    return input_schema, schema_of(hints["return"]) if "return" in hints else {}
