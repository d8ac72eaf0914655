"""The effect of migrations on existing rows."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
from alembic import command
from sqlalchemy import CheckConstraint, Connection

from agentgrid.db import migrate
from agentgrid.db.session import make_engine
from agentgrid.db.tables import Run

RULE = "INSERT INTO policies (rule_id, version, tool, effect, expires_seconds, reason, disabled, withdrawn, created_by)"
SWITCH = "INSERT INTO workflow_policies (workflow, version, disabled, reason, created_by)"
COMMAND = "INSERT INTO commands (command_id, kind, status, principal, outcome)"


async def upgrade_to(dsn: str, revision: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    engine = make_engine(dsn, pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


async def test_r36_active_kill_switches_stay_on_when_they_move_out_of_the_rules(empty_database: str) -> None:
    await upgrade_to(empty_database, "0004")
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute(f"""
            {RULE} VALUES
                ('tool:on', 1, 'on', 'require_approval', 60, '', false, false, 'amara'),
                ('tool:on', 2, 'on', 'allow', 60, 'smoke', true, false, 'amara'),
                ('tool:off', 1, 'off', 'allow', 60, '', true, false, 'amara'),
                ('tool:off', 2, 'off', 'allow', 60, '', false, false, 'amara'),
                ('tool:gone', 1, 'gone', 'allow', 60, '', true, false, 'amara'),
                ('tool:gone', 2, 'gone', 'allow', 60, '', false, true, 'amara');
            {SWITCH} VALUES ('halted', 1, true, 'why', 'amara'), ('back', 1, true, '', 'amara'), ('back', 2, false, '', 'noor');
            {COMMAND} VALUES
                ('1', 'workflow.policy', 'applied', 'amara', '{{"disabled": true, "changed": true}}'),
                ('2', 'workflow.policy', 'applied', 'amara', '{{"disabled": false, "changed": true}}')
        """)
        await upgrade_to(empty_database, "head")
        assert await rows(connection, "SELECT kind, name, version, disabled, reason, created_by FROM switches") == [
            ("tool", "on", 1, True, "smoke", "amara"),
            ("workflow", "back", 1, True, "", "amara"),
            ("workflow", "back", 2, False, "", "noor"),
            ("workflow", "halted", 1, True, "why", "amara"),
        ]
        assert await rows(connection, "SELECT kind FROM commands") == [("workflow.disable",), ("workflow.enable",)]
    finally:
        await connection.close()


async def test_check_constraints_list_the_values_of_their_enums(postgres_dsn: str) -> None:
    """Each enum is defined twice, in code and in a migration: the table's check constraint must list exactly the enum's values."""
    connection = await asyncpg.connect(postgres_dsn)
    try:
        constraints = await rows(
            connection,
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' "
            "AND connamespace = 'public'::regnamespace",
        )
    finally:
        await connection.close()
    in_database = {
        name: set(re.findall(r"'([^']+)'::text", text)) for name, text in constraints if "ANY (ARRAY[" in text
    }
    in_code = {
        str(check.name): set(re.findall(r"'([^']+)'", str(check.sqltext)))
        for table in Run.metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint) and " IN (" in str(check.sqltext)
    }
    assert {"ck_runs_trigger", "ck_steps_kind"} <= in_code.keys()
    assert {name: in_database.get(name) for name in in_code} == in_code


async def rows(connection: asyncpg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in await connection.fetch(query))
