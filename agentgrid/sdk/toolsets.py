"""A toolset: the tools of one source outside the project's code, such as an OpenAPI document or an MCP server."""

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
    """A tool that its source lists in another form than was reviewed. `before` and `after` are its entries, as text."""

    tool: str
    what: Literal["added", "removed", "changed"]
    before: str | None
    after: str | None


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """What a worker found when it compared a source with what was reviewed."""

    name: str
    reached_by: str
    tools: tuple[str, ...]
    state: Literal["ready", "held", "unreachable"]
    reason: str = ""
    changes: tuple[Changed, ...] = ()


class Toolset:
    """The tools of one source, each under its own name there: `crm["getCustomer"]`. Iterating yields all of them.

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
        """Add the tool that the source calls by this name."""
        self._tools[name] = tool

    @property
    def tools(self) -> tuple[JsonTool, ...]:
        """Its tools."""
        return tuple(self._tools.values())

    @property
    def faults(self) -> tuple[RegistrationError, ...]:
        """What is wrong with it, at the place of its declaration."""
        return tuple(
            RegistrationError(f"toolset {self.name!r}: {fault}", file=self.declared.file, line=self.declared.line)
            for fault in self._faults
        )

    def __getitem__(self, name: str) -> JsonTool:
        """The tool that the source calls by this name. Raises RegistrationError."""
        tool = self._tools.get(name)
        if tool is not None:
            return tool
        known = ", ".join(list(self._tools)[:20]) or "none"
        why = f"; {self._faults[0]}" if self._faults else ""
        raise RegistrationError(
            f"toolset {self.name!r} has no tool {name!r}; it has: {known}{why}",
            file=self.declared.file,
            line=self.declared.line,
        )

    def __iter__(self) -> Iterator[JsonTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    async def start(self, allowed_hosts: Sequence[str]) -> None:
        """Called when a worker with it starts. allowed_hosts: private hosts that the operator lets tools reach."""

    async def look(self) -> SourceReport | None:
        """Compare the source with what was reviewed, for operators to see. None where nothing is compared."""
        return None

    async def stop(self) -> None:
        """Called when the worker has stopped: every connection and process of it ends."""

    def __repr__(self) -> str:
        return f"<Toolset {self.name}: {len(self)} tools>"


def tool_name(source: str, name: str) -> str:
    """`<source>_<name>` in the form of a tool's name: `getCustomer` of `crm` is `crm_get_customer`."""
    words = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name)
    return f"{source}_{re.sub(r'[^a-z0-9]+', '_', words.lower()).strip('_')}"[:MAX_NAME]


def near(declared: Declared, path: str) -> Path:
    """The file at a relative path in the project of this declaration: the nearest one, from its folder up to the project's root.

    A file that isn't there is expected in the current directory.
    """
    given = Path(path)
    folder = Path(declared.file).absolute().parent
    for above in () if given.is_absolute() or not declared.file else (folder, *folder.parents):
        if (above / given).is_file():
            return above / given
        if (above / PROJECT_FILE).is_file():
            break
    return given.absolute()
