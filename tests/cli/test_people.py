"""The principals of `agentgrid dev` are those in the project's file, and edits take effect at the next start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agentgrid.cli.operator import database_caller
from agentgrid.cli.profiles import load_profiles, profiles_file
from agentgrid.cli.project import load_project
from agentgrid.control import api_keys, principals
from agentgrid.db.pool import open_pool
from agentgrid.db.session import make_engine, reading
from agentgrid.db.tables import Command, PrincipalRow
from agentgrid.dev.people import REASON, make_principals
from agentgrid.domain.principals import Role
from agentgrid.errors import Unauthenticated
from tests.cli.conftest import Cli

C: Any = Command
TABLE = "[tool.agentgrid]\ngrid = 'worker:grid'\n[tool.agentgrid.dev]\n"
OLGA = 'principals.olga = { roles = ["approver"], groups = ["cfo"], workflows = ["invoice*"] }\n'

Start = Callable[[str], Awaitable[list[str]]]
"""Applies the principals of this table as a start of `agentgrid dev` does. Returns the lines it prints."""


@pytest.fixture
async def engine(postgres_dsn: str) -> Any:
    created = make_engine(postgres_dsn, pool_size=2)
    yield created
    await created.dispose()


@pytest.fixture
async def pool(postgres_dsn: str) -> Any:
    async with open_pool(postgres_dsn) as opened:
        yield opened


@pytest.fixture
def start(engine: Any, pool: Any, tmp_path: Path) -> Start:
    async def started(table: str) -> list[str]:
        (tmp_path / "pyproject.toml").write_text(TABLE + table)
        lines: list[str] = []
        declared = load_project(tmp_path).principals
        await make_principals(engine, pool, tmp_path / "home", "http://127.0.0.1:8700", declared, lines.append)
        return [line for line in lines if "a new key" not in line]

    return started


async def roles_and_groups(engine: Any) -> dict[str, tuple[list[str], list[str], bool]]:
    async with reading(engine) as session:
        rows = (await session.execute(select(PrincipalRow))).scalars().all()
    return {row.name: (sorted(row.roles), sorted(row.groups), row.disabled_at is None) for row in rows}


OPERATOR = (["admin", "auditor", "developer", "operator"], [], True)


async def test_by_default_there_are_two_and_groups_are_the_reviewers(start: Start, engine: Any) -> None:
    assert await start("") == []
    assert await roles_and_groups(engine) == {"operator": OPERATOR, "reviewer": (["approver"], [], True)}
    lines = await start('groups = ["finance"]\n')
    assert lines == ["reviewer now has the roles approver and the groups finance, as set in pyproject.toml"]
    assert (await roles_and_groups(engine))["reviewer"] == (["approver"], ["finance"], True)


async def test_a_changed_table_is_applied_once_and_audited(start: Start, engine: Any, tmp_path: Path) -> None:
    await start(OLGA)
    assert (await roles_and_groups(engine))["olga"] == (["approver"], ["cfo"], True)
    assert set(load_profiles(profiles_file(tmp_path / "home"))) == {"operator", "reviewer", "olga"}
    async with reading(engine) as session:
        commands = (
            (await session.execute(select(C).where(C.target == "olga", C.kind == "principal.put"))).scalars().all()
        )
    assert [(row.principal, row.status, row.reason) for row in commands] == [("system", "applied", REASON)]

    # An administrator's change lasts until the file changes.
    known = await principals.get(engine, "olga")
    assert known is not None
    await principals.put(engine, database_caller(), replace(known, groups=frozenset()))
    assert await start(OLGA) == []
    assert (await roles_and_groups(engine))["olga"] == (["approver"], [], True)
    await start(OLGA.replace("cfo", "finance"))
    assert (await roles_and_groups(engine))["olga"] == (["approver"], ["finance"], True)


async def test_a_principal_removed_from_the_table_is_disabled_until_restored(
    start: Start, engine: Any, pool: Any, tmp_path: Path
) -> None:
    await start(OLGA)
    key = (tmp_path / "home" / "keys" / "olga.key").read_text().strip()
    assert (await api_keys.authenticate(pool, key)).principal.name == "olga"
    assert await start("") == ["olga is disabled, because it is no longer in pyproject.toml"]
    with pytest.raises(Unauthenticated):
        await api_keys.authenticate(pool, key)
    assert "olga" not in load_profiles(profiles_file(tmp_path / "home"))
    assert await start("") == []
    assert await start(OLGA) == ["olga is enabled again, because it is back in pyproject.toml"]
    assert (await api_keys.authenticate(pool, key)).principal.name == "olga"
    # A principal disabled by an administrator stays disabled, whatever the file says.
    await principals.set_disabled(engine, database_caller(), "olga", True)
    await start(OLGA)
    assert (await roles_and_groups(engine))["olga"][2] is False


INVALID = {
    "principal = {}": "[tool.agentgrid.dev] has no key 'principal'; did you mean 'principals'?",
    "groups = 'finance'": '[tool.agentgrid.dev] groups must be a list of strings, such as ["finance"]',
    "groups = ['Finance!']": "[tool.agentgrid.dev] groups: groups: 'Finance!' is not a valid group name",
    "groups = ['reviewer']": "[tool.agentgrid.dev]: reviewer can't be both a principal and a group; rename one",
    "principals = ['olga']": "principals must be a table of tables, such as principals.olga = {",
    "principals.operator = {}": "principals.operator can't be set: it is the administrator",
    "principals.olga = { role = ['approver'] }": "principals.olga has no key 'role'; did you mean 'roles'?",
    "principals.olga = { roles = ['aprover'] }": "roles has 'aprover', which is not a role; did you mean 'approver'?",
    "principals.olga = { kind = 'robot' }": "kind is 'robot'; it must be one of human, service, agent",
    "principals.olga = { kind = ['human'] }": "kind is ['human']; it must be one of human, service, agent",
    "principals.bot = { kind = 'service', roles = ['approver'] }": "roles: a service can't decide approvals",
    "principals.olga = { roles = ['admin', 'approver'] }": "roles: an administrator can't decide approvals",
    "principals.'../x' = {}": "principals.../x: name: must be 1 to 127 lower-case letters",
    "principals.olga = { workflows = ['[a]'] }": "workflows: '[a]' is not a valid glob",
    "groups = ['a']\nprincipals.reviewer = { roles = ['approver'] }": "which principals.reviewer replaces: set groups there",
}


@pytest.mark.parametrize("table", INVALID)
def test_an_invalid_table_is_refused_with_a_hint(cli: Cli, tmp_path: Path, table: str) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE + table)
    ended = cli("check")
    assert (ended.code, INVALID[table] in ended.err) == (2, True), ended.err


def test_the_reviewer_can_be_replaced(tmp_path: Path) -> None:
    table = 'principals.reviewer = { roles = ["approver", "viewer"], groups = ["a"] }'
    (tmp_path / "pyproject.toml").write_text(TABLE + table)
    operator, reviewer = load_project(tmp_path).principals
    assert operator.name == "operator"
    assert (reviewer.roles, reviewer.groups) == ({Role.APPROVER, Role.VIEWER}, {"a"})
