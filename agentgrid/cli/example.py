"""Checks the example in `[tool.agentgrid.dev]` against the code: a stale one would be suggested to people and fail."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgrid.cli.project import Project
    from agentgrid.errors import RegistrationError
    from agentgrid.sdk.grid import Grid


async def example_fault(project: Project, grid: Grid) -> RegistrationError | None:
    """Why the project's example can't be started, with its line in pyproject.toml, or None."""
    from agentgrid.errors import RegistrationError

    reason = await _fault(project, grid)
    if reason is None:
        return None
    file = project.root / "pyproject.toml"
    lines = file.read_text(encoding="utf-8").splitlines()
    line = next((number for number, text in enumerate(lines, start=1) if text.lstrip().startswith("example")), 0)
    return RegistrationError(f"the example can't be started: {reason}", file=str(file), line=line)


async def _fault(project: Project, grid: Grid) -> str | None:
    from agentgrid.control.inputs import Checker
    from agentgrid.errors import AgentGridError, InvalidInput

    example = project.example
    if example is None:
        return None
    workflows = {registered.spec.name: registered for registered in grid.workflows}
    registered = workflows.get(example.workflow)
    if registered is None:
        near = difflib.get_close_matches(example.workflow, workflows, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the workflows are {', '.join(workflows) or '(none)'}"
        return f"there is no workflow {example.workflow!r}{hint}"
    try:
        value = json.loads(json.dumps(example.input))
    except (TypeError, ValueError) as error:
        return f"its input is not JSON: {error}"
    try:
        await Checker().check(example.workflow, registered.version, registered.input_schema, value)
    except InvalidInput as error:
        return "; ".join(f"{fault.pointer.removeprefix('/')}: {fault.message}" for fault in error.faults)
    except AgentGridError as error:
        return error.message
    return None
