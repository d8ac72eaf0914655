"""`agentgrid check`: reports every fault in the registered code, with file and line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import stderr
from agentgrid.cli.session import OutputOption, reporting
from agentgrid.cli.text import safe_lines

if TYPE_CHECKING:
    from agentgrid.errors import RegistrationError
    from agentgrid.sdk.grid import Grid


def check(output: OutputOption = OutputFormat.TABLE) -> None:
    """Check this project's code and example for faults. Reports each with file and line, or lists what is registered. Needs no server."""
    with reporting(output):
        from agentgrid.cli.example import example_fault
        from agentgrid.cli.project import load_project

        project = load_project()
        project.import_from()
        from agentgrid.errors import RegistrationErrors
        from agentgrid.sdk.grid import load_grid

        try:
            grid = load_grid(project.grid)
            asyncio.run(_check_grid(grid))
            example = asyncio.run(example_fault(project, grid))
        except RegistrationErrors as error:
            _print_faults(error.faults, output)
            raise typer.Exit(ExitCode.FAILED) from None
        except SystemExit as error:
            raise CommandFailed(
                f"importing {project.grid} ended the process with {error.code!r}; put code that shouldn't run on "
                f"import under if __name__ == '__main__'"
            ) from None
        if example is not None:
            _print_faults((example,), output, of_example=True)
            raise typer.Exit(ExitCode.FAILED)
        _print_grid(grid, output)


async def _check_grid(grid: Grid) -> None:
    # In an event loop, as in a worker: the SDK needs one to build a workflow's sandbox.
    grid.check()


def _print_faults(faults: tuple[RegistrationError, ...], output: OutputFormat, *, of_example: bool = False) -> None:
    if output is OutputFormat.JSON:
        # A faulty example doesn't stop the code: `agentgrid dev` runs it and just doesn't suggest the example.
        kind = "example" if of_example else "code"
        items = [{"kind": kind, "file": fault.file, "line": fault.line, "message": fault.message} for fault in faults]
        typer.echo(json.dumps({"ok": False, "faults": items}))
        return

    console = stderr()
    for fault in faults:
        console.print(Text("✗ ", style="red").append(safe_lines(fault.message), style=""), soft_wrap=True)
    console.print(Text(f"{len(faults)} fault{'' if len(faults) == 1 else 's'}", style="bold red"))


def _print_grid(grid: Grid, output: OutputFormat) -> None:
    workflows = [registered.spec.name for registered in grid.workflows]
    tools = [tool.name for tool in grid.tools]
    agents = [agent.name for agent in grid.agents]
    if output is OutputFormat.JSON:
        report = {
            "ok": True,
            "grid": grid.name,
            "build": grid.digest,
            "workflows": workflows,
            "tools": tools,
            "agents": agents,
            "secrets": list(grid.secrets),
            "faults": [],
        }
        typer.echo(json.dumps(report))
        return
    counts = [_count(workflows, "workflow"), _count(tools, "tool"), *([_count(agents, "agent")] if agents else [])]
    typer.echo(f"{grid.name}: {', '.join(counts)}, no faults")
    for noun, names in (("workflow", workflows), ("tool", tools), ("agent", agents), ("secret", grid.secrets)):
        for name in names:
            typer.echo(f"  {noun} {name}")


def _count(names: Sequence[object], noun: str) -> str:
    return f"{len(names)} {noun}" if len(names) == 1 else f"{len(names)} {noun}s"
