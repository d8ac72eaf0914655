"""Creates everything that AgentGrid's processes need: the schema, roles and databases, keys, principals, profiles.

All of it is idempotent and runs at every start; existing things are kept.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from agentgrid.cli.operator import database_caller
from agentgrid.cli.profiles import Profile, load_profiles, profiles_file, save_profiles
from agentgrid.control import keys, principals, signing
from agentgrid.control.private import read_private, write_private
from agentgrid.db import logins, migrate
from agentgrid.db.pool import Pool, open_pool
from agentgrid.db.session import make_engine
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from agentgrid.errors import SettingsError, Unauthenticated

CONTROL_LOGIN = "agentgrid_dev_control"
WORKER_LOGIN = "agentgrid_dev_worker"
APP_ROLE = "agentgrid_app"
APP_DATABASE = "app"

KEY_LIFETIME = timedelta(days=90)
RENEW_BEFORE = timedelta(days=7)

PRINCIPALS = (
    Principal(
        name="operator",
        kind=PrincipalKind.HUMAN,
        roles=frozenset({Role.OPERATOR, Role.DEVELOPER, Role.AUDITOR, Role.ADMIN}),
    ),
    # Two principals, because nobody may decide the approvals of their own runs.
    Principal(
        name="reviewer",
        kind=PrincipalKind.HUMAN,
        roles=frozenset({Role.APPROVER}),
        groups=frozenset({"support-leads", "sales-leads", "editors"}),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The configuration of the processes."""

    database_url: str = field(repr=False)
    """Login of the API and the projector: reads and writes rows, owns nothing."""
    worker_url: str = field(repr=False)
    """Login of the workers: reports, and reads the policy. Only one project runs here, so it is bound to every grid and queue."""
    app_url: str = field(repr=False)
    """The database for the project's own tools."""
    signing_key_file: Path


@dataclass(frozen=True, kw_only=True)
class _Passwords:
    control: str
    worker: str
    app: str


async def prepare(home: Path, admin_url: str, api_url: str, say: Callable[[str], None]) -> Prepared:
    """Create everything that is missing. `admin_url` is the superuser's URL of the control-plane database."""
    before, after = await migrate.upgrade(admin_url)
    if before != after:
        say(f"the database schema is now at {after}")
    passwords = _passwords(home / "passwords.json")
    await _make_logins(admin_url, passwords)
    signing_key_file = home / "signing.pem"
    with contextlib.suppress(FileExistsError):
        signing.create(signing_key_file)
    engine = make_engine(admin_url, pool_size=2)
    try:
        async with open_pool(admin_url) as pool:
            await _make_principals(engine, pool, home, api_url, say)
    finally:
        await engine.dispose()
    return Prepared(
        database_url=_as(admin_url, CONTROL_LOGIN, passwords.control),
        worker_url=_as(admin_url, WORKER_LOGIN, passwords.worker),
        app_url=_as(admin_url, APP_ROLE, passwords.app, database=APP_DATABASE),
        signing_key_file=signing_key_file,
    )


def _as(admin_url: str, role: str, password: str, *, database: str | None = None) -> str:
    url: URL = make_url(admin_url).set(username=role, password=password)
    if database is not None:
        url = url.set(database=database)
    return url.render_as_string(hide_password=False)


def _passwords(file: Path) -> _Passwords:
    """The passwords of the previous start, with new ones for logins that an earlier version did not have."""
    kept: dict[str, str] = {}
    if file.exists():
        try:
            kept = {name: str(value) for name, value in json.loads(read_private(file)).items()}
        except (ValueError, AttributeError) as error:
            raise SettingsError(f"{file} is invalid ({error}); delete it to create new passwords") from None
    names = ("control", "worker", "app")
    passwords = {name: kept.get(name) or secrets.token_urlsafe(32) for name in names}
    if passwords.keys() - kept.keys():
        write_private(file, json.dumps(passwords))
    return _Passwords(**passwords)


async def _make_logins(admin_url: str, passwords: _Passwords) -> None:
    """Create the logins of the API, the workers and the project's tools, each limited to its own database."""
    connection = await asyncpg.connect(admin_url)
    try:
        await logins.put_control(connection, CONTROL_LOGIN, password=passwords.control)
        anything = logins.Binding(grid=logins.ANY, queues=(logins.ANY,))
        await logins.put_worker(connection, WORKER_LOGIN, anything, password=passwords.worker)
        await logins.put_role(connection, APP_ROLE, password=passwords.app)
        own = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"REVOKE CONNECT ON DATABASE {own} FROM PUBLIC")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", APP_DATABASE):
            await connection.execute(f"CREATE DATABASE {APP_DATABASE} OWNER {APP_ROLE}")
        await connection.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {APP_DATABASE} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {APP_DATABASE} TO {APP_ROLE}")
    finally:
        await connection.close()


async def _make_principals(
    engine: AsyncEngine, pool: Pool, home: Path, api_url: str, say: Callable[[str], None]
) -> None:
    caller = database_caller()
    file = profiles_file(home)
    before = load_profiles(file)
    profiles = dict(before)
    known = {principal.name for principal in await principals.listed(engine)}
    for principal in PRINCIPALS:
        # An existing one is left unchanged: somebody may have changed it on purpose.
        if principal.name not in known:
            await principals.put(engine, caller, principal)
        key_file = home / "keys" / f"{principal.name}.key"
        if not await _key_holds(pool, key_file, principal.name):
            made = await keys.create(
                engine, caller, principal=principal.name, lifetime=KEY_LIFETIME, note="made by agentgrid dev"
            )
            write_private(key_file, made.secret + "\n")
            say(f"a new key for {principal.name} is in {key_file}")
        profiles[principal.name] = Profile(name=principal.name, url=api_url, key_file=key_file)
    if profiles != before:
        save_profiles(file, profiles)


async def _key_holds(pool: Pool, file: Path, principal: str) -> bool:
    key = _read_if_there(file)
    if key is None:
        return False
    try:
        found = await keys.authenticate(pool, key)
    except Unauthenticated:
        return False
    return found.principal.name == principal and found.expires_at > datetime.now(UTC) + RENEW_BEFORE


def _read_if_there(file: Path) -> str | None:
    return read_private(file).strip() if file.exists() else None
