"""Runs of tools: for each tool of a grid, a workflow that calls it once and returns its result.

External programs use it to call a tool in a run like any other: recorded, governed and durable. Its name is the tool's activity type,
`tool.<name>`; the dot distinguishes it from every name that a project can register.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from temporalio import workflow as temporal

from agentgrid.sdk.discovery import RegisteredWorkflow
from agentgrid.sdk.schema import version_of
from agentgrid.sdk.tools import Tool
from agentgrid.sdk.workflows import SPEC, WorkflowSpec


class ToolRun:
    """The base class of these workflows. They run outside the sandbox, because they contain none of the project's code and can't be imported by name."""

    tool: ClassVar[Tool[..., Any]]

    @temporal.run
    async def run(self, arguments: dict[str, Any]) -> Any:
        """Call the tool with these JSON arguments. The activity validates them, because an error here would fail the workflow task forever."""
        return await self.tool.call(arguments)


def tool_runs(tools: Sequence[Tool[..., Any]]) -> tuple[RegisteredWorkflow, ...]:
    """One workflow per tool, to register with a worker and in the catalog. Its version changes with the tool's version."""
    return tuple(_registered(tool) for tool in tools)


def _registered(tool: Tool[..., Any]) -> RegisteredWorkflow:
    spec = WorkflowSpec(name=tool.activity_type, title=tool.title, tags=tool.tags, subject=tool.asks)
    # The SDK requires each class to define its own `run`, and checks that by name.
    attributes = {"run": ToolRun.run, "tool": tool, "__doc__": tool.description, "__module__": __name__, SPEC: spec}
    cls = temporal.defn(name=spec.name, sandboxed=False)(type(ToolRun.__name__, (ToolRun,), attributes))
    return RegisteredWorkflow(
        cls=cls,
        spec=spec,
        file=tool.file,
        line=tool.line,
        input_schema=tool.signature.input_schema,
        output_schema=tool.signature.output_schema,
        version=version_of(spec.name, tool.version),
    )
