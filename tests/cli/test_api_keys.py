"""`agentgrid key create` through the database: it creates principals, and never changes one unless asked to."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli


@pytest.fixture
def database(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AGENTGRID_DATABASE_URL", postgres_dsn)
    return postgres_dsn


def principal(dsn: str, name: str) -> tuple[str, list[str], list[str]]:
    async def read() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchrow("SELECT kind, roles, groups FROM principals WHERE name = $1", name)
        finally:
            await connection.close()

    row = asyncio.run(read())
    return row["kind"], row["roles"], row["groups"]


ALICE = ("human", ["auditor", "operator"], ["editors"])


@pytest.fixture
def alice(cli: Cli, database: str) -> tuple[str, list[str], list[str]]:
    created = cli("key", "create", "alice", "--role", "operator", "--role", "auditor", "--group", "editors")
    assert created.code == ExitCode.OK, created.err
    assert created.out.startswith("ag_")
    assert principal(database, "alice") == ALICE
    return ALICE


@pytest.mark.parametrize(
    "options",
    [(), ("--role", "auditor", "--role", "operator"), ("--group", "editors"), ("--kind", "human"), ("--days", "1")],
    ids=" ".join,
)
def test_a_second_key_leaves_the_principal_unchanged(
    cli: Cli, database: str, alice: object, options: tuple[str, ...]
) -> None:
    created = cli("key", "create", "alice", *options)
    assert created.code == ExitCode.OK, created.err
    assert principal(database, "alice") == alice
    assert len(cli("key", "list", "--principal", "alice", "-o", "json").json()["items"]) == 2


@pytest.mark.parametrize(
    "options",
    [("--role", "viewer"), ("--role", "operator"), ("--group", "leads"), ("--role", "operator", "--group", "leads")],
    ids=" ".join,
)
def test_different_roles_or_groups_are_refused_with_the_current_ones_and_a_hint(
    cli: Cli, database: str, alice: object, options: tuple[str, ...]
) -> None:
    refused = cli("key", "create", "alice", *options)
    assert (refused.code, refused.out) == (ExitCode.FAILED, "")
    for words in ("auditor, operator", "editors", "--replace-roles"):
        assert words in refused.err
    assert principal(database, "alice") == alice
    assert len(cli("key", "list", "-o", "json").json()["items"]) == 1


def test_replace_roles_replaces_only_what_is_given(cli: Cli, database: str, alice: object) -> None:
    assert cli("key", "create", "alice", "--role", "viewer", "--replace-roles").code == ExitCode.OK
    assert principal(database, "alice") == ("human", ["viewer"], ["editors"])
    assert cli("key", "create", "alice", "--group", "leads", "--replace-roles").code == ExitCode.OK
    assert principal(database, "alice") == ("human", ["viewer"], ["leads"])


def test_invalid_principals_are_refused(cli: Cli, database: str, alice: object) -> None:
    assert cli("key", "create", "alice", "--kind", "service").code == ExitCode.FAILED
    assert cli("key", "create", "alice", "--replace-roles").code == ExitCode.USAGE
    assert cli("key", "create", "nobody-known").code == ExitCode.NOT_FOUND
    both = cli("key", "create", "pair", "--role", "admin", "--role", "approver")
    assert (both.code, "can't decide" in both.err) == (ExitCode.FAILED, True)
    assert principal(database, "alice") == alice


@pytest.mark.usefixtures("database")
def test_an_approvers_key_is_created_and_revoked(cli: Cli) -> None:
    created = cli("key", "create", "rosa", "--role", "approver", "-o", "json").json()
    (listed,) = cli("key", "list", "-o", "json").json()["items"]
    assert (listed["key_id"], listed["created_by"], listed["status"]) == (created["key_id"], "system", "live")
    revoked = cli("key", "revoke", created["key_id"], "--reason", "lost", "-o", "json").json()
    assert revoked["status"] == "revoked"
    assert "revoked" in cli("key", "list").out
