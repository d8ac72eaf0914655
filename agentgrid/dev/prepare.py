"""Creates everything that AgentGrid's processes need: the schema, roles and databases, keys, principals, profiles.

Idempotent, and run at every start; what exists is kept, except for principals changed in pyproject.toml (`people.py`).
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from sqlalchemy.engine import URL, make_url

from agentgrid.control import signing
from agentgrid.control.private import read_private, write_private
from agentgrid.db import logins, migrate
from agentgrid.db.pool import open_pool
from agentgrid.db.session import make_engine
from agentgrid.dev.people import make_principals
from agentgrid.domain.principals import Principal
from agentgrid.errors import SettingsError

CONTROL_LOGIN = "agentgrid_dev_control"
WORKER_LOGIN = "agentgrid_dev_worker"
APP_ROLE = "agentgrid_app"
APP_DATABASE = "app"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """The configuration of the processes."""

    database_url: str = field(repr=False)
    """For the API and the projector: reads and writes rows, owns nothing."""
    worker_url: str = field(repr=False)
    """For the workers: reports, and reads the policy. Only one project runs here, so its login is bound to every grid and queue."""
    app_url: str = field(repr=False)
    """The database for the project's own tools."""
    signing_key_file: Path


@dataclass(frozen=True, kw_only=True)
class _Passwords:
    control: str
    worker: str
    app: str


async def prepare(
    home: Path, admin_url: str, api_url: str, principals: Sequence[Principal], say: Callable[[str], None]
) -> Prepared:
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
            await make_principals(engine, pool, home, api_url, principals, say)
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
    """The stored passwords, with new ones for logins that an earlier version did not have."""
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
        unrestricted = logins.Binding(grid=logins.ANY, queues=(logins.ANY,))
        await logins.put_worker(connection, WORKER_LOGIN, unrestricted, password=passwords.worker)
        await logins.put_role(connection, APP_ROLE, password=passwords.app)
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", APP_DATABASE):
            await connection.execute(f"CREATE DATABASE {APP_DATABASE} OWNER {APP_ROLE}")
        await connection.execute(f"REVOKE CONNECT, TEMPORARY ON DATABASE {APP_DATABASE} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {APP_DATABASE} TO {APP_ROLE}")
    finally:
        await connection.close()
