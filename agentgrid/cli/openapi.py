"""`agentgrid openapi`: keep a copy of an OpenAPI document in the project, from which its tools are made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import YesOption, confirm, reporting
from agentgrid.cli.text import safe

app = make_group()


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name in `ag.openapi(NAME, ...)`.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The document's URL.")],
    yes: YesOption = False,
) -> None:
    """Fetch a document and keep a copy; workers never fetch it. Private hosts must be listed in AGENTGRID_EGRESS_ALLOW."""
    with reporting(OutputFormat.TABLE):
        from agentgrid.cli.project import find_root
        from agentgrid.errors import ToolError
        from agentgrid.sdk.faults import NAME
        from agentgrid.sources.documents import Operation, Unusable, parsed
        from agentgrid.sources.openapi import copy_path

        if NAME.fullmatch(name) is None:
            raise CommandFailed(f"the name must match {NAME.pattern}", ExitCode.USAGE)
        try:
            body = asyncio.run(_fetched(url))
            operations = [item for item in parsed(body).operations() if isinstance(item, Operation) and item.id]
        except ToolError as error:
            raise CommandFailed(error.message, ExitCode.UNAVAILABLE if error.retryable else ExitCode.FAILED) from None
        except Unusable as error:
            raise CommandFailed(f"{url}: {error}") from None
        path: Path = (find_root() or Path.cwd()) / copy_path(name)
        if path.exists() and path.read_bytes() != body:
            confirm(f"{path} already exists and differs. Replace it?", yes=yes)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        typer.echo(f"{path}: {len(operations)} operations")
        for operation in operations:
            typer.echo(f"  {safe(operation.place)}")


async def _fetched(url: str) -> bytes:
    from agentgrid.errors import ToolError
    from agentgrid.settings import Settings
    from agentgrid.sources.documents import MAX_BYTES
    from agentgrid.sources.egress import Egress
    from agentgrid.sources.exchange import HttpRequest, RequestLimits

    egress = Egress(Settings.load().allowed_hosts)
    try:
        answer = await egress.send(HttpRequest(method="GET", url=url), RequestLimits(max_bytes=MAX_BYTES))
    finally:
        await egress.aclose()
    if answer.status != 200:
        raise ToolError(f"{url} returned HTTP {answer.status}")
    return answer.body
