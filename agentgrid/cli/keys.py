"""`agentgrid key`: API keys, made and revoked through the database by whoever set the installation up."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agentgrid.cli.database import reach_database
from agentgrid.cli.groups import group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.session import OutputOption, ReasonOption, reporting

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agentgrid.control.keys import NewKey
    from agentgrid.db.tables import ApiKey

app = group("API keys; needs AGENTGRID_DATABASE_URL, not a key.")

Result = TypeVar("Result")


class Kind(StrEnum):
    """What sort of principal is made."""

    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"


class RoleName(StrEnum):
    """What a principal may be trusted with."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    ADMIN = "admin"


@app.command()
def create(
    principal: Annotated[str, typer.Argument(help="Whose key it is to be.")],
    role: Annotated[
        list[RoleName] | None, typer.Option(help="Make the principal, or change it, with this role; may be repeated.")
    ] = None,
    group: Annotated[list[str] | None, typer.Option(help="And in this group; may be repeated.")] = None,
    kind: Annotated[Kind, typer.Option(help="What sort of principal is made.")] = Kind.HUMAN,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long it is valid.")] = 90,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    file: Annotated[
        Path | None, typer.Option(help="Write the key there, readable by you alone, instead of printing it.")
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Make a key. It is shown this one time: only a hash of it is kept."""
    with reporting(output):
        made = _with_engine(lambda engine: _create(engine, principal, role, group, kind, days, note))
        if file is not None:
            from agentgrid.cli.private import write_private

            write_private(file, made.secret + "\n")
        where = {"file": str(file)} if file is not None else {"key": made.secret}
        found = {"key_id": made.key_id, "principal": made.principal, "expires_at": made.expires_at.isoformat()}
        if output is OutputFormat.JSON:
            typer.echo(json.dumps(found | where))
            return
        typer.echo(f"key {made.key_id} of {made.principal}, until {made.expires_at:%Y-%m-%d}", err=True)
        typer.echo(f"written to {file}" if file is not None else made.secret, err=file is not None)


@app.command("list")
def list_(
    principal: Annotated[str | None, typer.Option(help="Only this principal's.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List keys, newest first, without their secrets, which nobody has."""
    with reporting(output):

        async def listed(engine: AsyncEngine) -> Sequence[ApiKey]:
            from agentgrid.control import keys

            return await keys.listed(engine, principal=principal)

        found = _with_engine(listed)
        if output is OutputFormat.JSON:
            typer.echo(json.dumps({"items": [_wire(key) for key in found], "next_cursor": None}))
            return
        from agentgrid.cli import words
        from agentgrid.cli.output import more, put, rows, stdout, table

        if found:
            made = rows(
                table("KEY", "PRINCIPAL", "STATUS", "EXPIRES", "LAST USED", "NOTE"),
                (
                    (
                        key.key_id,
                        key.principal,
                        words.status(_status(key)),
                        f"{key.expires_at:%Y-%m-%d}",
                        words.ago(key.last_used_at.isoformat() if key.last_used_at else None),
                        key.note,
                    )
                    for key in found
                ),
            )
            put(stdout(), made)
        more({}, len(found))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `key list` shows it: not the key.")],
    reason: ReasonOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Let a key open nothing from now on."""
    with reporting(output):

        async def revoked(engine: AsyncEngine) -> ApiKey:
            from agentgrid.cli.operator import database_caller
            from agentgrid.control import keys

            return await keys.revoke(engine, database_caller(), key_id, reason=reason)

        key = _with_engine(revoked)
        if output is OutputFormat.JSON:
            typer.echo(json.dumps(_wire(key)))
            return
        typer.echo(f"key {key.key_id} of {key.principal} is revoked")


async def _create(
    engine: AsyncEngine,
    principal: str,
    roles: Sequence[RoleName] | None,
    groups: Sequence[str] | None,
    kind: Kind,
    days: int,
    note: str,
) -> NewKey:
    from agentgrid.cli.operator import database_caller
    from agentgrid.control import keys, principals
    from agentgrid.domain.principals import Principal, PrincipalKind, Role

    caller = database_caller()
    if roles:
        wanted = Principal(
            name=principal,
            kind=PrincipalKind(kind.value),
            roles=frozenset(Role(role.value) for role in roles),
            groups=frozenset(groups or ()),
        )
        await principals.put(engine, caller, wanted)
    return await keys.create(engine, caller, principal=principal, lifetime=timedelta(days=days), note=note)


def _with_engine(work: Callable[[AsyncEngine], Coroutine[Any, Any, Result]]) -> Result:
    from agentgrid.settings import Settings

    dsn = Settings.load().require_database()

    async def run() -> Result:
        from agentgrid.db.session import make_engine

        engine = make_engine(dsn, pool_size=1)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return reach_database(run())


def _status(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at <= datetime.now(UTC) else "live"


def _wire(key: ApiKey) -> dict[str, str | None]:
    def moment(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat()

    return {
        "key_id": key.key_id,
        "principal": key.principal,
        "note": key.note,
        "status": _status(key),
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "last_used_at": moment(key.last_used_at),
        "revoked_at": moment(key.revoked_at),
    }
