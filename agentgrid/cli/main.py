"""`agentgrid`: composes the commands, and turns every error into one message and a stable exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Annotated

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode, exit_code_of
from agentgrid.cli.groups import make_group
from agentgrid.cli.nouns import Root
from agentgrid.errors import AgentGridError

app = make_group(cls=Root)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"agentgrid {version('agentgrid')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A control plane for governed agent work."""


OUTPUT_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""The error numbers of writing to a full or failing disk."""


def main() -> None:
    """The entry point of the console script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the process that started this one
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        try:
            app(prog_name="agentgrid")
        finally:
            sys.stdout.flush()
    except AgentGridError as error:
        _report(error)
        _leave(exit_code_of(error))
    except KeyboardInterrupt:
        _leave(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone.
        _give_up_output()
        _leave(ExitCode.FAILED)
    except OSError as error:
        if error.errno not in OUTPUT_LOST:
            raise
        words = f"the output can't be written: {error.strerror}. Check before you repeat it."
        print(f"agentgrid: {words}", file=sys.stderr)
        _give_up_output()
        _leave(ExitCode.FAILED)


def _give_up_output() -> None:
    """Otherwise the interpreter would report the error again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(code: ExitCode) -> None:
    raise SystemExit(int(code))


def _report(error: AgentGridError) -> None:
    if isinstance(error, CommandFailed) and error.as_json:
        print(json.dumps(error.problem or {"code": error.code, "detail": error.message}), file=sys.stderr)
        return
    from agentgrid.cli.text import safe_lines

    print(f"agentgrid: {safe_lines(error.message)}", file=sys.stderr)


if __name__ == "__main__":
    main()
