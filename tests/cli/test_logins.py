"""The login commands of `agentgrid db`, run through the database."""

from __future__ import annotations

import asyncio
import json
import stat
import uuid
from pathlib import Path

import asyncpg
import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli


@pytest.fixture
def name(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A login name; the environment has the schema owner's URL."""
    monkeypatch.setenv("AGENTGRID_DATABASE_URL", postgres_dsn)
    return f"login_{uuid.uuid4().hex[:12]}"


def works(dsn: str, statement: str) -> bool:
    return asyncio.run(_works(dsn, statement))


async def _works(dsn: str, statement: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn)
    except asyncpg.InvalidAuthorizationSpecificationError:
        return False
    try:
        await connection.execute(statement)
        return True
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await connection.close()


async def _rows(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()


def test_a_workers_login_is_created_listed_rebound_and_closed(cli: Cli, name: str, tmp_path: Path) -> None:
    file = tmp_path / "worker.url"
    made = cli("db", "worker-login", name, "--grid", "g", "--queue", "a", "--queue", "b", "--file", str(file))
    assert (made.code, made.err) == (ExitCode.OK, "")
    assert f"login {name} serves a, b for the grid g; its URL is in {file}" in made.out
    assert "postgresql://" not in made.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    dsn = file.read_text().strip()
    touch = "SELECT agentgrid_touch('default', '{}', '{}', '{}')"
    assert works(dsn, touch)
    assert not works(dsn, "SELECT * FROM runs")

    again = cli("db", "worker-login", name, "--grid", "g", "--queue", "c", "--rate", "5")
    assert "its password is unchanged" in again.out
    assert works(dsn, touch)
    (listed,) = [json.loads(line) for line in cli("db", "worker-logins", "-o", "json").out.splitlines()]
    assert (listed["login"], listed["grid"], listed["queues"], listed["rate"]) == (name, "g", ["c"], 5)
    assert name in cli("db", "worker-logins").out
    rotated = cli("db", "worker-login", name, "--grid", "g", "--queue", "c", "--rotate").out
    assert rotated.count("postgresql://") == 1
    now = rotated.split()[-1]
    assert works(now, touch)
    assert not works(dsn, touch), "the old password still works"

    assert cli("db", "close-worker-login", name).code == ExitCode.USAGE, "without a terminal it needs --yes"
    assert cli("db", "close-worker-login", name, "--yes").code == ExitCode.OK
    assert json.loads(cli("db", "worker-logins", "-o", "json").out)["closed_at"]
    assert not works(now, touch)
    opened = cli("db", "worker-login", name, "--grid", "g", "--queue", "c").out.split()[-1]
    assert works(opened, touch), "a closed login that is bound again can connect"
    assert not works(now, touch), "its old password still works"
    assert cli("db", "close-worker-login", "nobody_here", "--yes").code == ExitCode.NOT_FOUND


def test_the_control_planes_login_reads_and_writes_rows_and_every_change_is_audited(
    cli: Cli, name: str, postgres_dsn: str
) -> None:
    dsn = json.loads(cli("db", "control-login", name, "-o", "json").out)["url"]
    assert works(dsn, "SELECT * FROM runs")
    assert not works(dsn, "CREATE TABLE mine (x integer)")
    refused = cli("db", "worker-login", name, "--grid", "g", "--queue", "q")
    assert (refused.code, refused.err.count("has more rights than a worker's login")) == (ExitCode.FAILED, 1)
    rows = asyncio.run(_rows(postgres_dsn, "SELECT kind, principal, target, status, outcome::text FROM commands"))
    assert [(row["kind"], row["principal"], row["target"], row["status"]) for row in rows] == [
        ("login.put", "system", name, "applied")
    ]
    assert "password" not in rows[0]["outcome"].replace("new_password", "")


def test_a_login_that_owns_nothing_can_not_create_logins(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = json.loads(cli("db", "control-login", name, "-o", "json").out)["url"]
    monkeypatch.setenv("AGENTGRID_DATABASE_URL", dsn)
    refused = cli("db", "worker-login", f"{name}_w", "--grid", "g", "--queue", "q")
    assert refused.code != ExitCode.OK
    assert "permission denied" in refused.err
    assert "Traceback" not in refused.err


def test_invalid_names_and_bindings_are_refused_before_any_change(cli: Cli, name: str) -> None:
    for arguments in (("Upper", "--grid", "g", "--queue", "q"), (name, "--grid", " ", "--queue", "q")):
        refused = cli("db", "worker-login", *arguments)
        assert refused.code == ExitCode.FAILED, arguments
        assert refused.err.startswith("agentgrid: ")
    assert cli("db", "worker-login", name, "--grid", "g").code == ExitCode.USAGE
    assert cli("db", "move-grid", "nowhere", "here").code == ExitCode.NOT_FOUND
    assert cli("db", "worker-logins").out == ""
