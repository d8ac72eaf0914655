"""The embedded servers start, keep their state, recover from sudden death, and report what is wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus

from agentgrid.servers import PostgresServer, ServerError, TemporalServer, accounts, postgres
from agentgrid.servers.child import ended_within, free_port

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL under another account")


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="agentgrid-servers-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def start_run(server: TemporalServer, run_id: str) -> None:
    client = await Client.connect(server.address)
    await client.start_workflow("nobody_serves_this", id=run_id, task_queue="nobody")


async def is_running(server: TemporalServer, run_id: str) -> bool:
    client = await Client.connect(server.address)
    described = await client.get_workflow_handle(run_id).describe()
    return described.status is WorkflowExecutionStatus.RUNNING


async def write_row(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('here')")
    await connection.close()


async def read_row(dsn: str) -> str:
    connection = await asyncpg.connect(dsn)
    word: str = await connection.fetchval("SELECT word FROM kept")
    await connection.close()
    return word


async def test_temporal_keeps_its_runs_across_a_restart_and_kill_9(home: Path) -> None:
    server = TemporalServer(home, port=free_port())
    async with server:
        address = server.address
        await start_run(server, "before-restart")

    async with server:
        assert server.address == address
        assert await is_running(server, "before-restart")
        await start_run(server, "before-kill")
        os.kill(server.pid, signal.SIGKILL)
        assert await asyncio.wait_for(server.wait(), 10) == -signal.SIGKILL

    async with server:
        assert await is_running(server, "before-restart")
        assert await is_running(server, "before-kill")
    assert stat.S_IMODE((home / "temporal.db").stat().st_mode) == 0o600


async def test_temporal_has_the_capabilities_that_agentgrid_needs(home: Path) -> None:
    async with TemporalServer(home, in_memory=True) as server:
        client = await Client.connect(server.address)
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        assert described.namespace_info.capabilities.worker_heartbeats
    assert not (home / "temporal.db").exists()


async def test_temporal_refuses_every_host_on_its_http_api(home: Path) -> None:
    async with TemporalServer(home, in_memory=True, http_port=free_port()) as server, httpx.AsyncClient() as http:
        api = f"http://127.0.0.1:{server._http_port}/api/v1/namespaces"
        for host in ("evil.example", "localhost", "127.0.0.1"):
            answer = await http.get(api, headers={"Host": host})
            assert (answer.status_code, answer.json()["message"]) == (403, "Host not allowed")
        listening = {row.laddr.ip for row in psutil.Process(server.pid).net_connections() if row.status == "LISTEN"}
        assert listening == {"127.0.0.1"}


@pytest.mark.parametrize("argument", ["port", "http_port"])
async def test_temporal_reports_which_port_is_in_use_and_by_which_process(
    home: Path, port_in_use: int, argument: str
) -> None:
    with pytest.raises(ServerError, match=rf"port {port_in_use} .* in use by process {os.getpid()} "):
        await TemporalServer(home, **{argument: port_in_use}).start()


async def test_temporal_that_cannot_start_shows_the_end_of_its_log(home: Path) -> None:
    (home / "temporal.db").write_text("this is not a database, and long enough for nobody to take it for one" * 20)
    with pytest.raises(ServerError, match=r"(?s)exited with code 1 .*temporal\.log:.*not a database"):
        await TemporalServer(home).start()


async def test_temporal_is_stopped_at_the_deadline_if_it_never_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TemporalServer(home, in_memory=True, ready_seconds=0.5)

    async def never() -> bool:
        return False

    monkeypatch.setattr(server, "_answers", never)
    before = set(psutil.Process().children())
    with pytest.raises(ServerError, match=r"did not answer within 0\.5 s"):
        await server.start()
    assert set(psutil.Process().children()) == before


async def test_a_cancelled_start_leaves_nothing_behind(home: Path) -> None:
    before = set(psutil.Process().children())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await TemporalServer(home, in_memory=True).start()
    assert set(psutil.Process().children()) == before
    async with TemporalServer(home, in_memory=True):
        pass


async def test_postgres_keeps_its_data_and_password_across_a_restart_and_kill_9(home: Path) -> None:
    server = PostgresServer(home, port=free_port())
    async with server:
        dsn = server.dsn
        await write_row(dsn)

    async with server:
        assert await read_row(dsn) == "here"
        other = await server.create_database("other")
        await write_row(other)
        os.kill(server.pid, signal.SIGKILL)
        assert await asyncio.wait_for(server.wait(), 10) == -signal.SIGKILL

    # A new object, as in a new process, has only what is on disk.
    async with PostgresServer(home, port=server.port) as server:
        assert server.dsn == dsn
        assert await read_row(dsn) == "here"
        assert await read_row(other) == "here"
        await server.drop_database("other")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(other)


async def test_two_postgres_servers_run_side_by_side(home: Path) -> None:
    first, second = (PostgresServer(home / name, durable=False) for name in ("first", "second"))
    async with first, second:
        await write_row(first.dsn)
        with pytest.raises(asyncpg.UndefinedTableError):
            await read_row(second.dsn)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(first.dsn.replace(str(first.port), str(second.port)))


async def test_postgres_listens_only_on_loopback_and_its_password_file_is_private(home: Path) -> None:
    async with PostgresServer(home, durable=False) as server:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
        assert await connection.fetchval("SHOW unix_socket_directories") == ""
        assert await connection.fetchval("SHOW server_version") >= "18"
        methods = {row["auth_method"] for row in await connection.fetch("SELECT auth_method FROM pg_hba_file_rules")}
        assert methods == {"scram-sha-256"}
        await connection.close()
    assert stat.S_IMODE((home / "postgres.json").stat().st_mode) == 0o600


async def test_postgres_reports_which_port_is_in_use_and_by_which_process(home: Path, port_in_use: int) -> None:
    with pytest.raises(ServerError, match=rf"port {port_in_use} .* in use by process {os.getpid()} "):
        await PostgresServer(home, port=port_in_use, durable=False).start()


async def test_postgres_picks_another_port_if_its_free_port_was_taken(
    home: Path, port_in_use: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([port_in_use, free_port()])
    monkeypatch.setattr(postgres, "free_port", lambda: next(ports))
    async with PostgresServer(home, durable=False) as server:
        assert server.port != port_in_use


async def test_postgres_that_cannot_start_shows_the_end_of_its_log(home: Path) -> None:
    async with PostgresServer(home, durable=False) as server:
        pass
    (server.data / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(ServerError, match=r"(?s)exited with code 1 .*postgres\.log:.*no_such_setting"):
        await server.start()


async def test_an_interrupted_initdb_is_started_over(home: Path) -> None:
    half = home / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with PostgresServer(home, durable=False) as server:
        await write_row(server.dsn)
    assert not half.exists()


async def test_a_pid_file_that_names_another_program_does_not_stop_postgres(home: Path) -> None:
    async with PostgresServer(home, durable=False) as server:
        pass
    account = accounts.server_account()
    other_program = await asyncio.create_subprocess_exec("sleep", "60", user=account and account.uid)
    try:
        (server.data / "postmaster.pid").write_text(f"{other_program.pid}\n{server.data}\n1\n5432\n\n127.0.0.1\n0 0\n")
        async with server:
            await write_row(server.dsn)
        assert other_program.returncode is None
    finally:
        other_program.kill()
        await other_program.wait()


async def test_postgres_waits_for_the_last_process_of_a_killed_server(home: Path) -> None:
    server = PostgresServer(home, durable=False)
    async with server:
        await write_row(server.dsn)
        lingering = psutil.Process(server.pid).children()[0]
        lingering.suspend()  # it keeps the shared memory, and can't notice yet that its server is gone
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()

    starting = asyncio.create_task(server.start())
    try:
        log = server.log_file
        refused = "pre-existing shared memory block"
        assert await ended_within(20, lambda: refused in log.read_text() or starting.done())
        assert not starting.done()
    finally:
        lingering.resume()
    await starting
    assert await read_row(server.dsn) == "here"
    await server.stop()


async def test_data_without_its_password_is_refused_with_advice(home: Path) -> None:
    async with PostgresServer(home, durable=False):
        pass
    (home / "postgres.json").unlink()
    with pytest.raises(ServerError, match=r"postgres\.json.* is missing; restore it"):
        await PostgresServer(home, durable=False).start()


async def test_a_second_owner_of_a_home_is_refused(home: Path) -> None:
    async with PostgresServer(home, durable=False) as server:
        with pytest.raises(ServerError, match=f"in use by process {os.getpid()}; .*AGENTGRID_HOME"):
            await PostgresServer(home, durable=False).start()
        await write_row(server.dsn)


@asynccontextmanager
async def killed_owner(home: Path, *arguments: str):
    """The process ids of two servers whose owner was killed, without a chance to stop them, before the block begins."""
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.servers.run_servers", str(home), *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pids = [int(word) for word in (await asyncio.wait_for(owner.stdout.readline(), 60)).split()]
    try:
        owner.kill()
        await owner.wait()
        yield pids
    finally:
        for pid in pids:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels don't signal the children of a dead process")
async def test_servers_die_with_their_owner(home: Path) -> None:
    async with killed_owner(home) as pids:
        assert await ended_within(20, lambda: not any(runs(pid) for pid in pids))


async def test_servers_that_outlive_their_owner_are_replaced_by_the_next_start(home: Path) -> None:
    async with killed_owner(home, "--unwatched") as pids:
        assert all(runs(pid) for pid in pids)
        async with TemporalServer(home) as temporal, PostgresServer(home, durable=False) as database:
            await start_run(temporal, "after")
            await write_row(database.dsn)
            assert not any(runs(pid) for pid in pids)


@as_root
async def test_as_root_a_private_home_stays_private_and_the_data_is_kept_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "SHARED", home / "shared")
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    for _ in range(2):
        async with PostgresServer(closed / "home", durable=False) as server:
            assert server.data.is_relative_to(home / "shared")
            assert psutil.Process(server.pid).uids().real == server.data.stat().st_uid != 0
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


@as_root
def test_as_root_programs_in_a_private_folder_are_copied_and_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = postgres._programs(None).parent
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(installed / "pginstall18", closed / installed.name / "pginstall18")
    shutil.copytree(installed.with_name(f"{installed.name}.libs"), closed / f"{installed.name}.libs")
    monkeypatch.setattr(accounts, "SHARED", home / "shared")

    programs = accounts.reachable_programs(closed / installed.name / "pginstall18", "1.0")

    account = accounts.server_account()
    assert account is not None
    for program in ("postgres", "initdb"):
        command = [str(programs / "bin" / program), "--version"]
        printed = subprocess.check_output(command, user=account.uid, group=account.gid, extra_groups=[], cwd="/")
        assert b"PostgreSQL) 18" in printed
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
