"""Shared settings for command groups."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

SYNONYMS = {"get": "show", "show": "get"}
"""Runs use `get`, everything else uses `show`; both are accepted everywhere."""


class CommandGroup(TyperGroup):
    """A group that accepts synonyms of its commands."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command with this name or synonym."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, SYNONYMS.get(cmd_name, cmd_name))


def make_group(*, bare: bool = False, cls: type[CommandGroup] = CommandGroup) -> typer.Typer:
    """A command group. Without a command it shows its help, or runs its own callback (`bare`)."""
    return typer.Typer(
        cls=cls,
        no_args_is_help=not bare,
        # Plain help: boxes would double the time of every `--help`.
        rich_markup_mode=None,
        # Typer's long tracebacks print local variables, including keys.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
