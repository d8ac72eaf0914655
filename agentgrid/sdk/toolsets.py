"""Toolsets: the tools of one source outside the project's code, such as an OpenAPI document or an MCP server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentgrid.errors import RegistrationError
from agentgrid.sdk.json_tools import Declared, JsonTool

PROJECT_FILE = "pyproject.toml"
MAX_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A tool whose listing in its source differs from the reviewed one. `before` and `after` are the two entries, as text."""

    tool: str
    what: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """The result of a worker's comparison of a source with its reviewed listing."""

    name: str
    reached_by: str
    tools: tuple[str, ...]
    state: Literal["ready", "held", "unreachable"]
    reason: str = ""
    changes: tuple[Changed, ...] = ()


class Toolset:
    """The tools of one source, by their names in that source: `crm["getCustomer"]`. Iterating yields all of them.

    `agentgrid check` and worker start report its faults.
    """

    def __init__(
        self, name: str, *, tools: Mapping[str, JsonTool], faults: Sequence[str] = (), declared: Declared
    ) -> None:
        self.name = name
        self.declared = declared
        self._tools = dict(tools)
        self._faults = tuple(faults)

    def add(self, name: str, tool: JsonTool) -> None:
        """Add a tool under its name in the source."""
        self._tools[name] = tool

    @property
    def tools(self) -> tuple[JsonTool, ...]:
        """The tools of the source."""
        return tuple(self._tools.values())

    @property
    def faults(self) -> tuple[RegistrationError, ...]:
        """Its faults, at the place of its declaration."""
        return tuple(
            RegistrationError(f"toolset {self.name!r}: {fault}", file=self.declared.file, line=self.declared.line)
            for fault in self._faults
        )

    def __getitem__(self, name: str) -> JsonTool:
        """The tool with this name in the source. Raises RegistrationError."""
        tool = self._tools.get(name)
        if tool is not None:
            return tool
        names = ", ".join(list(self._tools)[:20]) or "none"
        why = f"; {self._faults[0]}" if self._faults else ""
        raise RegistrationError(
            f"toolset {self.name!r} has no tool {name!r}; it has: {names}{why}",
            file=self.declared.file,
            line=self.declared.line,
        )

    def __iter__(self) -> Iterator[JsonTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    async def start(self, allowed_hosts: Sequence[str]) -> None:
        """Called when a worker with this toolset starts. allowed_hosts: private hosts that the operator allows tools to reach."""

    async def look(self) -> SourceReport | None:
        """Compare the source with its reviewed listing, to report to operators. None if nothing is compared."""
        return None

    async def stop(self) -> None:
        """Close all connections and processes. Called when the worker has stopped."""

    def __repr__(self) -> str:
        return f"<Toolset {self.name}: {len(self)} tools>"


def tool_name(source: str, name: str) -> str:
    """`<source>_<name>` as a valid tool name: `getCustomer` of `crm` becomes `crm_get_customer`."""
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name)
    return f"{source}_{re.sub(r'[^a-z0-9]+', '_', words.lower()).strip('_')}"[:MAX_NAME]


def near(declared: Declared, path: str) -> Path:
    """The file at a relative path in the declaring project: the nearest one, from the declaration's folder up to the project's root.

    If there is none, the path is relative to the current directory.
    """
    relative = Path(path)
    folder = Path(declared.file).absolute().parent
    for above in () if relative.is_absolute() or not declared.file else (folder, *folder.parents):
        if (above / relative).is_file():
            return above / relative
        if (above / PROJECT_FILE).is_file():
            break
    return relative.absolute()
