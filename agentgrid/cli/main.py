"""The `agentgrid` program: assembles the commands, and turns every error into one message and a stable exit code."""

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


def _print_version(requested: bool) -> None:
    if requested:
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


DISK_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""Error numbers of a write to a full or failing disk."""


def main() -> None:
    """The entry point of the console script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        try:
            app(prog_name="agentgrid")
        finally:
            sys.stdout.flush()
    except AgentGridError as error:
        _report(error)
        _exit(exit_code_of(error))
    except KeyboardInterrupt:
        _exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader closed the pipe.
        _discard_output()
        _exit(ExitCode.FAILED)
    except OSError as error:
        if error.errno not in DISK_ERRNOS:
            raise
        message = (
            f"can't write the output: {error.strerror}. The command may have taken effect: check before you repeat it."
        )
        print(f"agentgrid: {message}", file=sys.stderr)
        _discard_output()
        _exit(ExitCode.FAILED)


def _discard_output() -> None:
    """Redirect stdout, so that the interpreter's flush at exit doesn't report the error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(code: ExitCode) -> None:
    raise SystemExit(int(code))


def _report(error: AgentGridError) -> None:
    if isinstance(error, CommandFailed) and error.as_json:
        print(json.dumps(error.problem or {"code": error.code, "detail": error.message}), file=sys.stderr)
        return
    from agentgrid.cli.text import safe_lines

    print(f"agentgrid: {safe_lines(error.message)}", file=sys.stderr)


if __name__ == "__main__":
    main()
