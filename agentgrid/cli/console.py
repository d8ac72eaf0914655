"""`agentgrid console`: a link that signs a browser in to the web console."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ProfileOption, session

OpenOption = Annotated[
    bool, typer.Option("--open", help="Open the link in this machine's browser instead of printing it.")
]


def console(
    profile: ProfileOption = None, open_: OpenOption = False, output: OutputOption = OutputFormat.TABLE
) -> None:
    """Make a link that signs a browser in to the web console, as the profile's principal. It works once, for 10 minutes."""
    with session(profile, output) as client:
        answer = client.write("POST", "/session/codes", None, doing="make a sign-in link")
        made = answer.json()
        if open_ and _opened(made["url"]):
            if output is OutputFormat.JSON:
                typer.echo(json.dumps({"opened": True, "expires_at": made["expires_at"]}))
            else:
                typer.echo("the console opens in your browser", err=True)
            return
        if output is OutputFormat.JSON:
            typer.echo(answer.text)
            return
        from agentgrid.cli.text import safe

        if open_:
            typer.echo("there is no browser to open here; open this link yourself:", err=True)
        typer.echo(safe(made["url"]))
        typer.echo("It works once, for 10 minutes. Who opens it acts as you: don't pass it on.", err=True)


def _opened(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
