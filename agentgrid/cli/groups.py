"""How the program's groups of commands are made: alike."""

from __future__ import annotations

import typer


def group(help_: str, *, bare: bool = False) -> typer.Typer:
    """A group of commands; without one it shows its help, or does something of its own (`bare`)."""
    return typer.Typer(
        help=help_,
        no_args_is_help=not bare,
        # Plain help: boxes would double the time that every `--help` takes.
        rich_markup_mode=None,
        # Typer's long tracebacks print local variables, keys among them.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
