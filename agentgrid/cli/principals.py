"""`agentgrid principal`: principals and their roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from agentgrid.cli import words
from agentgrid.cli.api_keys import NewPrincipalKind, RoleName
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.inputs import part
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import facts, indented
from agentgrid.cli.session import (
    CursorOption,
    LimitOption,
    OutputOption,
    ProfileOption,
    ReasonOption,
    YesOption,
    confirm,
    session,
    show_list,
    show_named,
)
from agentgrid.cli.show import show_answer
from agentgrid.cli.tables import TextTable, fixed, text
from agentgrid.cli.text import safe

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentgrid.cli.client import ApiClient

app = make_group()

PrincipalName = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="The principal's name.")]


@app.command("list")
def list_(
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List principals, including disabled ones."""
    show_list("/principals", _table, empty="no principals", profile=profile, output=output, limit=limit, cursor=cursor)


@app.command()
def show(name: PrincipalName, profile: ProfileOption = None, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show a principal with its permissions."""
    show_named("principals", name, _detail, profile=profile, output=output)


@app.command()
def put(
    name: PrincipalName,
    role: Annotated[list[RoleName] | None, typer.Option(help="Set its roles to these; may be repeated.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="Set its groups to these; may be repeated.")] = None,
    workflows: Annotated[
        list[str] | None,
        typer.Option(help="Limit it to the runs of these workflows: a name or a glob; may be repeated."),
    ] = None,
    kind: Annotated[
        NewPrincipalKind | None, typer.Option(help="The kind of a new principal; it can't be changed later.")
    ] = None,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create a principal (human unless --kind is given), or change its roles, groups or scope. What you omit is left unchanged."""
    with session(profile, output) as client:
        place = f"/principals/{part(name)}"
        current = _current(client, place)
        body: dict[str, Any] = {
            "roles": [item.value for item in role] if role else current.get("roles", []),
            "groups": group or current.get("groups", []),
            "workflows": workflows or current.get("workflows", ["*"]),
        }
        if kind is not None or not current:
            body["kind"] = (kind or NewPrincipalKind.HUMAN).value
        if reason is not None:
            body["reason"] = reason
        if current:
            changes = [
                f"{what} {_words(current[what])} -> {_words(body[what])}"
                for what in ("roles", "groups", "workflows")
                if sorted(current[what]) != sorted(body[what])
            ]
            if changes:
                confirm(f"{name}: {'; '.join(changes)}. Change it?", yes=yes)
        answer = client.write("PUT", place, body, doing=f"the change of the principal {name}")
        show_answer(answer, output, _detail)


@app.command()
def disable(
    name: PrincipalName,
    reason: ReasonOption = None,
    yes: YesOption = False,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Disable a principal: its keys and streams stop working. Calls it has just approved will not run."""
    with session(profile, output) as client:
        confirm(
            f"Disable {name}? Its keys stop working, and calls it has just approved will not run.",
            yes=yes,
        )
        _post(client, name, "disable", reason, output)


@app.command()
def enable(
    name: PrincipalName,
    reason: ReasonOption = None,
    profile: ProfileOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Enable a disabled principal."""
    with session(profile, output) as client:
        _post(client, name, "enable", reason, output)


def _post(client: ApiClient, name: str, verb: str, reason: str | None, output: OutputFormat) -> None:
    body = {} if reason is None else {"reason": reason}
    answer = client.write(
        "POST", f"/principals/{part(name)}/{verb}", body, doing=f"{verb.removesuffix('e')}ing the principal {name}"
    )
    show_answer(answer, output, _detail)


def _current(client: ApiClient, place: str) -> dict[str, Any]:
    """The current principal; empty if it doesn't exist."""
    try:
        principal: dict[str, Any] = client.get(place).json()
    except CommandFailed as error:
        if error.exit_code is ExitCode.NOT_FOUND:
            return {}
        raise
    return principal


def _words(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "(none)"


def _status(principal: Mapping[str, Any]) -> Text:
    return words.status("disabled" if principal["disabled"] else "enabled")


def _table(items: Sequence[Mapping[str, Any]]) -> RenderableType:
    return TextTable(
        (
            text("PRINCIPAL", least=12),
            fixed("KIND", 4),
            fixed("STATUS", 1),
            text("ROLES", 2, least=24),
            text("GROUPS", 3, least=16),
            text("WORKFLOWS", 5, least=10),
        ),
        (
            (item["name"], item["kind"], _status(item), item["roles"], item["groups"], item["workflows"])
            for item in items
        ),
    )


def _detail(principal: Mapping[str, Any]) -> RenderableType:
    heading = Text(safe(principal["name"]), style="bold")
    heading.append("  ").append_text(_status(principal))
    since = principal["disabled_at"]
    rows = {
        "kind": principal["kind"],
        "roles": principal["roles"],
        "groups": principal["groups"],
        "workflows": principal["workflows"],
        "permissions": principal["permissions"],
        "disabled": words.absolute(since) if since else None,
        "created": words.absolute(principal["created_at"]),
    }
    return Group(heading, indented(facts(rows)))
