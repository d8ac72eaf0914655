"""`agentgrid console`: a link that signs a browser in to the web console."""

from __future__ import annotations

import html
import json
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ProfileOption, session
from agentgrid.cli.text import safe

PAGE_NAME = "console.html"
"""Never deleted, because nothing shows when the browser has read it. Its link works once, for 10 minutes, and the next page replaces it."""
PAGE = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>AgentGrid</title>
<p><a href="{url}">Open the AgentGrid console</a></p>
"""

OpenOption = Annotated[
    bool, typer.Option("--open", help="Open the link in this machine's browser instead of printing it.")
]


def console(
    profile: ProfileOption = None, open_: OpenOption = False, output: OutputOption = OutputFormat.TABLE
) -> None:
    """Create a sign-in link for the web console. It signs one browser in as the profile's principal; it works once, for 10 minutes."""
    with session(profile, output) as client:
        answer = client.write("POST", "/session/codes", None, doing="the sign-in link")
        link = answer.json()
        if open_ and _opened(link["url"]):
            if output is OutputFormat.JSON:
                typer.echo(json.dumps({"opened": True, "expires_at": link["expires_at"]}))
            else:
                typer.echo("opening the console in your browser", err=True)
            return
        if output is OutputFormat.JSON:
            typer.echo(answer.text)
            return
        if open_:
            typer.echo("no browser was found; open this link yourself:", err=True)
        typer.echo(safe(link["url"]))
        typer.echo("The link works once, for 10 minutes. It signs its browser in as you, so don't share it.", err=True)


def _opened(url: str) -> bool:
    """Open the link through a private file: every user of this machine can read the browser's command line."""
    from agentgrid.cli.project import home
    from agentgrid.control.private import write_private

    folder = home() if home().is_dir() else Path(tempfile.mkdtemp(prefix="agentgrid-"))
    page = folder / PAGE_NAME
    write_private(page, PAGE.replace("{url}", html.escape(url)))
    try:
        return webbrowser.open(page.absolute().as_uri())
    except webbrowser.Error:
        return False
