"""The program's top-level commands. Each is imported when it is called, so that no command pays for what another one needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

from agentgrid.cli.groups import CommandGroup

NOUNS = {
    "dev": (
        "develop:dev",
        "Run everything on this machine: Temporal, PostgreSQL, projector, API, and this project's worker.",
    ),
    "overview": ("overview:overview", "Show what is running, waiting for approval, failed and completed."),
    "console": (
        "console:console",
        "Make a link that signs a browser in to the web console, as the profile's principal.",
    ),
    "check": (
        "check:check",
        "Load this project's grid, report every fault with file and line, or list what it has; then check the example in pyproject.toml.",
    ),
    "init": (
        "init:init",
        "Create a small project: a workflow with an approval, another with an agent, their tools, and passing tests.",
    ),
    "api": ("processes:api", "Serve the HTTP API, and deliver commands."),
    "projector": ("processes:projector", "Project Temporal's history into the database."),
    "rebuild": ("database:rebuild", "Rebuild the projection from Temporal's histories and the archive."),
    "run": ("runs:app", "Start, watch and control runs."),
    "approval": ("approvals:app", "List, show and decide approvals."),
    "workflow": ("workflows:app", "List, show, disable and enable workflows."),
    "tool": ("tools:app", "List, show and govern tools."),
    "agent": ("agents:app", "List, show, edit and govern agents."),
    "policy": ("policies:app", "Govern tools and plain activities, by name or by glob."),
    "worker": ("workers:app", "Run a worker for this project; or `worker list`: list all workers."),
    "queue": ("queues:app", "List task queues, and whether a worker serves them."),
    "audit": ("audit:app", "See who requested what, and the outcome."),
    "mcp": ("mcp:app", "Review the tools of MCP servers, and pin them in the project's folder mcp/."),
    "openapi": ("openapi:app", "Keep OpenAPI documents in the project's folder openapi/."),
    "db": ("logins:app", "Maintain the control-plane database and its logins."),
    "principal": ("principals:app", "List, show and change principals."),
    "proposal": ("proposals:app", "Confirm or withdraw commands that need two administrators."),
    "signing-key": ("signing_keys:app", "List, retire and revoke the keys that sign decisions."),
    "key": ("api_keys:app", "Manage API keys. Requires AGENTGRID_DATABASE_URL instead of a key."),
}
"""Module and name of each command, and what the list of commands says of it. A group's help is only here."""


def load(name: str) -> Any:
    """The command, from its module."""
    place, help_ = NOUNS[name]
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"agentgrid.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        command: Any = get_group(found)
        command.help = help_
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command()(found)
        command = get_command(alone)
    command.name = name
    return command


class Root(CommandGroup):
    """The program. Its list of commands loads none of them."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {
            name: TyperCommand(name, help=help_, rich_markup_mode=None) for name, (_, help_) in NOUNS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name, loaded."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest
