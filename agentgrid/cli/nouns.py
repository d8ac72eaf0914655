"""The program's top-level commands. Each is imported only when called, so that no command pays for another's imports."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

from agentgrid.cli.groups import CommandGroup

NOUNS = {
    "dev": (
        "agentgrid.dev.options:dev",
        "Run everything on this machine. Starts Temporal, PostgreSQL, projector, API and this project's worker.",
    ),
    "overview": ("agentgrid.cli.overview:overview", "Show what is running, waiting, failed and completed."),
    "console": (
        "agentgrid.cli.console:console",
        "Create a sign-in link for the web console.",
    ),
    "check": (
        "agentgrid.cli.check:check",
        "Check this project's code and example for faults.",
    ),
    "init": (
        "agentgrid.cli.init:init",
        "Create a small project with passing tests.",
    ),
    "api": ("agentgrid.cli.processes:api", "Serve the HTTP API and deliver commands."),
    "projector": ("agentgrid.cli.processes:projector", "Project Temporal's history into the database."),
    "rebuild": ("agentgrid.cli.database:rebuild", "Rebuild the projection from Temporal and the archive."),
    "run": ("agentgrid.cli.runs:app", "Start, watch and control runs."),
    "approval": ("agentgrid.cli.approvals:app", "List, show and decide approvals."),
    "workflow": ("agentgrid.cli.workflows:app", "List, show, disable and enable workflows."),
    "tool": ("agentgrid.cli.tools:app", "List, show and govern tools."),
    "agent": ("agentgrid.cli.agents:app", "List, show, edit and govern agents."),
    "policy": ("agentgrid.cli.policies:app", "Govern tools and plain activities, by name or glob."),
    "worker": ("agentgrid.cli.workers:app", "Run a worker for this project, or list all workers."),
    "queue": ("agentgrid.cli.queues:app", "List task queues and whether workers serve them."),
    "audit": ("agentgrid.cli.audit:app", "See who requested what, and the outcome."),
    "mcp": (
        "agentgrid.cli.mcp:app",
        "Review the tools of MCP servers and pin them. Pins are files in the project's folder mcp/.",
    ),
    "openapi": (
        "agentgrid.cli.openapi:app",
        "Keep copies of OpenAPI documents. They are files in the project's folder openapi/.",
    ),
    "db": ("agentgrid.cli.logins:app", "Maintain the control-plane database and its logins."),
    "principal": ("agentgrid.cli.principals:app", "List, show and change principals."),
    "proposal": ("agentgrid.cli.proposals:app", "Confirm or withdraw commands that need two administrators."),
    "signing-key": ("agentgrid.cli.signing_keys:app", "List, retire and revoke the keys that sign decisions."),
    "key": ("agentgrid.cli.api_keys:app", "Manage API keys. Requires AGENTGRID_DATABASE_URL instead of a key."),
}
"""Location (module and attribute) and help text of each command. A group's help is defined only here."""


def load(name: str) -> Any:
    """Import a command."""
    target, help_ = NOUNS[name]
    module, _, attribute = target.partition(":")
    loaded = getattr(import_module(module), attribute)
    if isinstance(loaded, typer.Typer):
        command: Any = get_group(loaded)
        command.help = help_
    else:
        wrapper = typer.Typer(add_completion=False, rich_markup_mode=None)
        wrapper.command()(loaded)
        command = get_command(wrapper)
    command.name = name
    return command


class Root(CommandGroup):
    """The root group. Listing its commands imports none of them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            name: TyperCommand(name, help=help_, rich_markup_mode=None) for name, (_, help_) in NOUNS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that the arguments name."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else None, rest
