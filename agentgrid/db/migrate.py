"""Bring a database to the schema of this version: Alembic, run from code, one transaction, one migrator at a time."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from agentgrid.db.session import make_engine

MIGRATION_LOCK = 0x41474D49
"""The advisory lock that two migrators at once wait on."""
STATEMENT_TIMEOUT_MS = 3_600_000
"""An index over millions of rows takes minutes."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head() -> str:
    """The revision that this version of the code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("the package holds no migrations")
    return revision


def _upgrade(connection: Connection) -> str | None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    before = MigrationContext.configure(connection).get_current_revision()
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before


async def upgrade(dsn: str) -> tuple[str | None, str]:
    """Migrate to the newest revision; returns the revisions before and after. Killed half-way, it leaves nothing behind."""
    engine = make_engine(dsn, pool_size=1, statement_timeout_ms=STATEMENT_TIMEOUT_MS)
    try:
        async with engine.begin() as connection:
            before = await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()
    return before, head()


async def current(dsn: str) -> str | None:
    """The revision that the database has, or None where it has none."""
    engine = make_engine(dsn, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
    finally:
        await engine.dispose()
