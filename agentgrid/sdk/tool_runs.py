"""Runs of a single tool: for each tool of a grid, a workflow that calls it once and returns its result.

So that a program outside can call a tool, as a run like any other: recorded, governed and durable. Its name is the tool's activity type, `tool.<name>`:
the dot keeps it apart from every name that a project can register.
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
    """The base of these workflows. None is ever imported by its name: they run outside the sandbox, for nothing of the project's code is in them."""

    tool: ClassVar[Tool[..., Any]]

    @temporal.run
    async def run(self, arguments: dict[str, Any]) -> Any:
        """Call the tool with these arguments, given in JSON. The activity validates them: a fault here would fail the workflow task for good."""
        return await self.tool.call(arguments)


def tool_runs(tools: Sequence[Tool[..., Any]]) -> tuple[RegisteredWorkflow, ...]:
    """A workflow for each tool, to register with a worker and in the catalog. Its version changes with the tool's."""
    return tuple(_registered(tool) for tool in tools)


def _registered(tool: Tool[..., Any]) -> RegisteredWorkflow:
    spec = WorkflowSpec(name=tool.activity_type, title=tool.title, tags=tool.tags, subject=tool.asks)
    # The SDK requires that each class has a `run` of its own, and compares names to find out.
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
