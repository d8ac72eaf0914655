"""`agentgrid key`: API keys, created and revoked through the database by the installation's owner."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agentgrid.cli import words
from agentgrid.cli.database import reach_database
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.groups import make_group
from agentgrid.cli.modes import OutputFormat
from agentgrid.cli.output import more, put, stdout
from agentgrid.cli.session import OutputOption, ReasonOption, reporting
from agentgrid.cli.tables import TextTable, ago, fixed, text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from agentgrid.control.api_keys import NewKey
    from agentgrid.db.tables import ApiKey
    from agentgrid.domain.principals import Principal

app = make_group()

Result = TypeVar("Result")


class NewPrincipalKind(StrEnum):
    """The kind of the new principal."""

    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"


class RoleName(StrEnum):
    """The roles of a principal."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    DEVELOPER = "developer"
    AUDITOR = "auditor"
    ADMIN = "admin"


@app.command()
def create(
    principal: Annotated[str, typer.Argument(help="The principal the key is for.")],
    role: Annotated[
        list[RoleName] | None, typer.Option(help="Create the principal with this role; may be repeated.")
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Create the principal in this group; may be repeated.")
    ] = None,
    replace_roles: Annotated[
        bool, typer.Option("--replace-roles", help="Replace the roles or groups of an existing principal.")
    ] = False,
    kind: Annotated[NewPrincipalKind | None, typer.Option(help="The kind of a new principal; default: human.")] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the key is valid.")] = 90,
    note: Annotated[str, typer.Option(help="What the key is for.")] = "",
    file: Annotated[
        Path | None, typer.Option(help="Write the key to this file (mode 0600) instead of printing it.")
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Create a key. It is shown only once: the server stores only its hash.

    An existing principal keeps its roles and groups unless --replace-roles is given; then those that you pass are replaced.
    """
    with reporting(output):
        if replace_roles and not role and not group:
            raise CommandFailed("--replace-roles needs --role or --group", ExitCode.USAGE)
        principal_options = _PrincipalOptions(kind=kind, roles=role, groups=group, replace=replace_roles)
        created = _with_engine(lambda engine: _create(engine, principal, principal_options, days, note))
        if file is not None:
            from agentgrid.control.private import write_private

            write_private(file, created.secret + "\n")
        where = {"file": str(file)} if file is not None else {"key": created.secret}
        about = {"key_id": created.key_id, "principal": created.principal, "expires_at": created.expires_at.isoformat()}
        if output is OutputFormat.JSON:
            typer.echo(json.dumps(about | where))
            return
        typer.echo(f"key {created.key_id} of {created.principal}, until {created.expires_at:%Y-%m-%d}", err=True)
        typer.echo(f"written to {file}" if file is not None else created.secret, err=file is not None)


@app.command("list")
def list_(
    principal: Annotated[str | None, typer.Option(help="Only keys of this principal.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List keys, newest first. Their secrets are not stored and can't be shown."""
    with reporting(output):

        async def listed(engine: AsyncEngine) -> Sequence[ApiKey]:
            from agentgrid.control import api_keys

            return await api_keys.listed(engine, principal=principal)

        keys = _with_engine(listed)
        if output is OutputFormat.JSON:
            typer.echo(json.dumps({"items": [_wire(key) for key in keys], "next_cursor": None}))
            return
        if keys:
            table = TextTable(
                (
                    fixed("KEY"),
                    text("PRINCIPAL", 1, least=10),
                    fixed("STATUS", 2),
                    fixed("EXPIRES", 3),
                    ago("LAST USED", 4),
                    text("NOTE", 5, least=12),
                ),
                (
                    (
                        key.key_id,
                        key.principal,
                        words.status(_status(key)),
                        f"{key.expires_at:%Y-%m-%d}",
                        key.last_used_at.isoformat() if key.last_used_at else None,
                        key.note,
                    )
                    for key in keys
                ),
            )
            put(stdout(), table)
        more({}, len(keys), empty="no keys")


@app.command()
def revoke(
    key_id: Annotated[
        str, typer.Argument(metavar="KEY", help="The key's id, as shown by `key list`; not the key itself.")
    ],
    reason: ReasonOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Revoke a key."""
    with reporting(output):

        async def revoked(engine: AsyncEngine) -> ApiKey:
            from agentgrid.cli.operator import database_caller
            from agentgrid.control import api_keys

            await api_keys.revoke(engine, database_caller(), key_id, reason=reason)
            return await api_keys.get(engine, key_id)

        key = _with_engine(revoked)
        if output is OutputFormat.JSON:
            typer.echo(json.dumps(_wire(key)))
            return
        typer.echo(f"key {key.key_id} of {key.principal} is revoked")


@dataclass(frozen=True, kw_only=True)
class _PrincipalOptions:
    """The options that describe the principal; None if omitted."""

    kind: NewPrincipalKind | None
    roles: Sequence[RoleName] | None
    groups: Sequence[str] | None
    replace: bool


async def _create(engine: AsyncEngine, name: str, principal_options: _PrincipalOptions, days: int, note: str) -> NewKey:
    from agentgrid.cli.operator import database_caller
    from agentgrid.control import api_keys, principals

    caller = database_caller()
    existing = await principals.get(engine, name)
    principal = _principal_to_store(name, principal_options, existing)
    if principal is not None and principal != existing:
        await principals.put(engine, caller, principal, keep_scope=True)
    return await api_keys.create(engine, caller, principal=name, lifetime=timedelta(days=days), note=note)


def _principal_to_store(name: str, options: _PrincipalOptions, existing: Principal | None) -> Principal | None:
    """The principal to store; None to leave it unchanged. Raises Conflict if this would change an existing principal without --replace-roles."""
    from agentgrid.domain.principals import Principal, PrincipalKind, Role
    from agentgrid.errors import Conflict

    if not (options.roles or options.groups or options.kind):
        return existing
    principal = Principal(
        name=name,
        kind=PrincipalKind(options.kind.value) if options.kind else existing.kind if existing else PrincipalKind.HUMAN,
        roles=frozenset(Role(role.value) for role in options.roles)
        if options.roles
        else existing.roles
        if existing
        else frozenset(),
        groups=frozenset(options.groups) if options.groups else existing.groups if existing else frozenset(),
    )
    if (
        existing is not None
        and not options.replace
        and (principal.roles, principal.groups) != (existing.roles, existing.groups)
    ):
        raise Conflict(
            f"{name} already exists, with the roles {_listed(existing.roles)} and the groups {_listed(existing.groups)}: omit --role and --group "
            f"to keep them, or replace them with --replace-roles"
        )
    return principal


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "(none)"


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
    from agentgrid.control.api_keys import status_of

    return status_of(key, datetime.now(UTC))


def _wire(key: ApiKey) -> dict[str, str | list[str] | None]:
    def moment(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat()

    return {
        "key_id": key.key_id,
        "principal": key.principal,
        "note": key.note,
        "created_by": key.created_by,
        "issuers": key.issuers,
        "status": _status(key),
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "last_used_at": moment(key.last_used_at),
        "revoked_at": moment(key.revoked_at),
    }
