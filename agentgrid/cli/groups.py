"""How the program's groups of commands are made: alike."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

SYNONYMS = {"get": "show", "show": "get"}
"""One run is `get`, everything else is `show`n: whoever takes one for the other is understood."""


class Group(TyperGroup):
    """A group whose commands answer to their synonyms too."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, or else the one that is meant."""
        return super().get_command(ctx, cmd_name) or super().get_command(ctx, SYNONYMS.get(cmd_name, cmd_name))


def group(help_: str, *, bare: bool = False) -> typer.Typer:
    """A group of commands; without one it shows its help, or does something of its own (`bare`)."""
    return typer.Typer(
        cls=Group,
        help=help_,
        no_args_is_help=not bare,
        # Plain help: boxes would double the time that every `--help` takes.
        rich_markup_mode=None,
        # Typer's long tracebacks print local variables, keys among them.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
