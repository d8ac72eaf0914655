"""The options of `agentgrid dev`. The rest of `dev/` is imported only when it runs, so that `--help` doesn't need the servers' packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode

PORTS = {"min": 1, "max": 65_535}


def dev(
    port: Annotated[int | None, typer.Option(**PORTS, help="The API's port. Default: 8700.")] = None,
    temporal_port: Annotated[int | None, typer.Option(**PORTS, help="Temporal's port. Default: 7233.")] = None,
    postgres_port: Annotated[int | None, typer.Option(**PORTS, help="PostgreSQL's port. Default: 5499.")] = None,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Restart the worker when the code changes.")
    ] = True,
    only_servers: Annotated[
        bool, typer.Option("--only-servers", help="Start only Temporal and PostgreSQL, ready for use.")
    ] = False,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="For scripts: write this file when everything is ready (JSON: pid, URLs, paths), and remove it on exit.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of all processes.")] = False,
) -> None:
    """Run everything on this machine. Starts Temporal, PostgreSQL, projector, API and this project's worker.

    State is stored in AGENTGRID_HOME, by default .agentgrid in the project. The principal `operator` is the only administrator: it can relax a rule without
    confirmation, and the audit log records that. The other principals and their groups are set in pyproject.toml, in [tool.agentgrid.dev]. To create another
    approver's key, use agentgrid key create with the database URL.
    """
    try:
        from agentgrid.dev.command import run_dev
        from agentgrid.dev.stack import Options
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"{error.name} is not installed; install AgentGrid from a checkout with the extra dev-stack", ExitCode.USAGE
        ) from None
    ports = {"api": port, "temporal": temporal_port, "postgres": postgres_port}
    options = Options(ports=ports, reload=reload, only_servers=only_servers, ready_file=ready_file)
    raise typer.Exit(run_dev(options, verbose=verbose))
