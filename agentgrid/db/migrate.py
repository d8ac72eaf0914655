"""Upgrades a database to this version's schema: runs Alembic from code, in one transaction, one migrator at a time.

Roles, functions and grants are not migrations: `agentgrid/db/sql` contains their current definitions, which every upgrade applies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from agentgrid.db.session import make_engine
from agentgrid.errors import Forbidden

SQL = Path(__file__).parent / "sql"
_VERSION_TABLE = """
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""
INSUFFICIENT_PRIVILEGE = "42501"
UNIQUE_VIOLATION = "23505"
STATEMENT_TIMEOUT_MS = 3_600_000
"""Building an index over millions of rows takes minutes."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head() -> str:
    """The revision that this version of the code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("the package contains no migrations")
    return revision


def _upgrade(connection: Connection) -> str | None:
    # Alembic's table serves as the lock: unlike an advisory lock, other logins can't take it. Another migrator may be creating the table now.
    connection.execute(text(_VERSION_TABLE))
    connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
    before = MigrationContext.configure(connection).get_current_revision()
    config = _config()
    config.attributes["connection"] = connection
    _run(connection, "roles.sql")
    command.upgrade(config, "head")
    _run(connection, "functions.sql")
    _run(connection, "grants.sql")
    return before


def _run(connection: Connection, file: str) -> None:
    """Run a SQL file in the connection's transaction. Only the raw driver accepts multiple statements at once."""
    statements = (SQL / file).read_text()
    driver: Any = connection.connection
    driver.run_async(lambda raw: raw.execute(statements))


async def upgrade(dsn: str) -> tuple[str | None, str]:
    """Migrate to the newest revision; returns the revisions before and after. If killed, nothing has changed.

    Raises Forbidden for a login that doesn't own the schema.
    """
    engine = make_engine(dsn, pool_size=1, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    try:
        for tries_left in (1, 0):
            try:
                async with engine.begin() as connection:
                    before = await connection.run_sync(_upgrade)
                return before, head()
            except (DBAPIError, asyncpg.PostgresError) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                sqlstate = getattr(cause, "sqlstate", None)
                if sqlstate == INSUFFICIENT_PRIVILEGE:
                    raise Forbidden(
                        f"this login may not change the schema: {cause}. Use the login that owns the schema"
                    ) from None
                if sqlstate != UNIQUE_VIOLATION or not tries_left:
                    raise  # two migrators created Alembic's table at the same time; one of them retries
    finally:
        await engine.dispose()
    raise AssertionError("unreachable")


async def current(dsn: str) -> str | None:
    """The database's revision; None for a database without a schema."""
    engine = make_engine(dsn, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    finally:
        await engine.dispose()
