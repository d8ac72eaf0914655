"""`agentgrid`: composes the commands, and turns every error into one message and a stable exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Annotated

import typer

from agentgrid.cli import (
    agents,
    approvals,
    audit,
    database,
    handlers,
    keys,
    logins,
    mcp,
    openapi,
    policies,
    principals,
    proposals,
    queues,
    runs,
    signing_keys,
    tools,
    workers,
    workflows,
)
from agentgrid.cli.check import check
from agentgrid.cli.console import console
from agentgrid.cli.develop import dev
from agentgrid.cli.exits import CommandFailed, ExitCode, exit_code_of
from agentgrid.cli.groups import group
from agentgrid.cli.init import init
from agentgrid.cli.overview import overview
from agentgrid.cli.processes import api, projector
from agentgrid.errors import AgentGridError

app = group("A control plane for governed agent work.")


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
    pass


app.command()(dev)
app.add_typer(runs.app, name="run")
handlers.add_to(runs.app)
app.add_typer(approvals.app, name="approval")
app.add_typer(workflows.app, name="workflow")
app.add_typer(tools.app, name="tool")
app.add_typer(agents.app, name="agent")
app.add_typer(policies.app, name="policy")
app.add_typer(workers.app, name="worker")
app.add_typer(queues.app, name="queue")
app.add_typer(audit.app, name="audit")
app.add_typer(mcp.app, name="mcp")
app.add_typer(openapi.app, name="openapi")
app.command()(overview)
app.command()(console)
app.command()(check)
app.command()(init)
app.command()(api)
app.command()(projector)
app.add_typer(database.app, name="db")
logins.add_to(database.app)
app.command()(database.rebuild)
app.add_typer(principals.app, name="principal")
app.add_typer(proposals.app, name="proposal")
app.add_typer(signing_keys.app, name="signing-key")
app.add_typer(keys.app, name="key")


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
