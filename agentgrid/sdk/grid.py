"""The grid: every workflow, tool and agent in a project's packages."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from agentgrid.errors import RegistrationError, RegistrationErrors
from agentgrid.sdk import discovery
from agentgrid.sdk.agent_faults import agent_faults
from agentgrid.sdk.agents import Agent
from agentgrid.sdk.discovery import RegisteredWorkflow
from agentgrid.sdk.faults import NAME, tool_faults, workflow_faults
from agentgrid.sdk.schema import version_of
from agentgrid.sdk.secrets import SecretProvider
from agentgrid.sdk.source import Source
from agentgrid.sdk.tool_runs import tool_runs
from agentgrid.sdk.tools import Tool
from agentgrid.sdk.toolsets import Toolset


class Grid:
    """Every workflow, tool and agent in these packages or modules, which are imported lazily.

    name: a short name of the deployment. Temporal's history shows it, with the grid's digest, on every workflow task.
    secret_providers: where workers look for secrets before environment variables and files.
    """

    def __init__(self, name: str, *packages: ModuleType | str, secret_providers: Iterable[SecretProvider] = ()) -> None:
        self.name = name
        self.secret_providers = tuple(secret_providers)
        self._packages = packages

    @functools.cached_property
    def _imported(self) -> tuple[tuple[ModuleType, ...], tuple[RegistrationError, ...]]:
        return discovery.imported(self._packages)

    @property
    def modules(self) -> tuple[ModuleType, ...]:
        """The modules that could be imported."""
        return self._imported[0]

    @functools.cached_property
    def tools(self) -> tuple[Tool[..., Any], ...]:
        """Every tool, sorted by name."""
        return discovery.tools_in(self.modules)

    @functools.cached_property
    def toolsets(self) -> tuple[Toolset, ...]:
        """Every toolset, sorted by name."""
        return discovery.toolsets_in(self.modules)

    @functools.cached_property
    def agents(self) -> tuple[Agent[Any], ...]:
        """Every agent, sorted by name."""
        return discovery.agents_in(self.modules)

    @functools.cached_property
    def workflows(self) -> tuple[RegisteredWorkflow, ...]:
        """Every workflow, sorted by name, with its schemas and version."""
        return discovery.workflows_in(self.modules, self._sources)

    @functools.cached_property
    def tool_runs(self) -> tuple[RegisteredWorkflow, ...]:
        """The built-in workflows that each run one tool. Empty without workflows, because a worker with only tools polls for no workflow tasks."""
        return tool_runs(self.tools) if self.workflows else ()

    @functools.cached_property
    def secrets(self) -> tuple[str, ...]:
        """The sorted names of the secrets in its code: module-level values, and literal arguments of `secret(...)`."""
        return discovery.secrets_in(self._sources)

    @functools.cached_property
    def _sources(self) -> dict[str, Source]:
        return {module.__name__: Source(module) for module in self.modules}

    @functools.cached_property
    def digest(self) -> str:
        """The digest of everything registered. Temporal's history shows it as the build that completed each workflow task."""
        workflows, tools = ([item.version for item in items] for items in (self.workflows, self.tools))
        # A grid without agents keeps the digest that it had before agents existed.
        return version_of(workflows, tools, *([[agent.version for agent in self.agents]] if self.agents else []))

    @property
    def shared_modules(self) -> tuple[str, ...]:
        """Top-level packages with tools or agents but no workflows. They are shared with the sandbox, so that their drivers aren't imported again."""
        packages = {tool.module.split(".")[0] for tool in self.tools}
        packages |= {agent.module.split(".")[0] for agent in self.agents}
        homes = {registered.cls.__module__.split(".")[0] for registered in self.workflows}
        return tuple(sorted(packages - homes))

    def check(self) -> None:
        """Raise RegistrationErrors with every fault in the registered code, if there is any."""
        faults = [
            *self._imported[1],
            *(fault for toolset in self.toolsets for fault in toolset.faults),
            *tool_faults(self.tools, self._sources),
            *agent_faults(self.agents, self.tools),
            *workflow_faults(self.workflows, self._sources, shared_modules=self.shared_modules),
        ]
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


def load_grid(reference: str) -> Grid:
    """The grid at `module:attribute`, the form of `[tool.agentgrid] grid`. Raises RegistrationErrors."""
    module_name, _, attribute = reference.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        grid = getattr(importlib.import_module(module_name), attribute or "grid")
    except Exception as error:
        raise RegistrationErrors([discovery.import_fault(reference, error)]) from error
    if not isinstance(grid, Grid):
        raise RegistrationErrors([RegistrationError(f"{reference} is a {type(grid).__name__}, not an agentgrid.Grid")])
    return grid
