"""`agentgrid dev` starts everything, keeps its secrets private, and loses and leaves behind nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
from pathlib import Path
from socket import SOCK_DGRAM

import httpx
import psutil
import pytest

from agentgrid.cli.exits import ExitCode
from tests.dev.conftest import Terminal, until
from tests.dev.stack import PROVIDER_KEY, DevStack, all_ended


def test_every_file_with_a_secret_is_private(stack: DevStack) -> None:
    secrets = ["profiles.toml", "keys/operator.key", "keys/reviewer.key", "signing.pem", "passwords.json", "env"]
    for name in secrets:
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600, name
    key = (stack.home / "keys" / "operator.key").read_text().strip()
    output = stack.output.read_text()
    assert key not in output
    for process in stack.children():
        assert key not in " ".join(process.cmdline())
        assert "password" not in " ".join(process.cmdline()).lower() or "postgres" in process.name()


def test_the_ready_file_shows_a_script_where_everything_is(stack: DevStack) -> None:
    assert stack.process is not None
    ready = json.loads(stack.ready_file.read_text())
    assert ready["pid"] == stack.process.pid
    headers = {"Authorization": f"Bearer {Path(ready['operator_key_file']).read_text().strip()}"}
    assert httpx.get(f"{ready['api_url']}/me", headers=headers).json()["name"] == "operator"
    assert httpx.get(ready["api_document_url"]).status_code == 200
    assert ready["temporal_address"] == stack.settings()["AGENTGRID_TEMPORAL_ADDRESS"]
    assert (Path(ready["home"]), Path(ready["env_file"]).is_file()) == (stack.home, True)


def test_the_worker_gets_no_credentials_for_the_control_plane(stack: DevStack) -> None:
    environment = stack.child("worker").environ()
    assert "://agentgrid_dev_worker:" in environment["AGENTGRID_DATABASE_URL"]
    for name in ("api", "projector"):
        assert "://agentgrid_dev_control:" in stack.child(name).environ()["AGENTGRID_DATABASE_URL"], name
    assert "://agentgrid_app:" in environment["APP_DATABASE_URL"]
    assert not {"AGENTGRID_SIGNING_KEY_FILE", "AGENTGRID_API_KEY"} & environment.keys()
    assert Path(environment["AGENTGRID_HOME"]) == stack.home / "worker"


def test_only_the_worker_gets_a_providers_key(stack: DevStack) -> None:
    """Checked for all processes of the stack, including PostgreSQL's and Temporal's."""
    assert stack.process is not None
    holders = []
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            holders += [process.cmdline()] if PROVIDER_KEY in process.environ().values() else []
    assert holders == [stack.child("worker").cmdline()]
    assert "AGENTGRID_MODEL=openai:gpt-5 OPENAI_API_KEY=KEY" in stack.output.read_text()


def test_r44_only_the_api_gets_the_signing_key(stack: DevStack) -> None:
    named = [
        name for name in ("api", "projector", "worker") if "AGENTGRID_SIGNING_KEY_FILE" in stack.child(name).environ()
    ]
    assert named == ["api"]


def test_everything_listens_on_loopback_only(stack: DevStack) -> None:
    listening: dict[str, list[str]] = {}
    for process in [psutil.Process(stack.process.pid), *stack.children()]:  # type: ignore[union-attr]
        for socket in process.net_connections(kind="inet"):
            if socket.status == psutil.CONN_LISTEN or (socket.type == SOCK_DGRAM and not socket.raddr):
                name = process.name() if "agentgrid.cli.main" not in process.cmdline() else process.cmdline()[3]
                listening.setdefault(name, []).append(f"{socket.laddr.ip}:{socket.laddr.port}")
    ports = json.loads((stack.home / "ports.json").read_text())
    assert set(listening) == {"api", "postgres", "temporal"}, "neither worker nor projector listens"
    assert {place.rpartition(":")[0] for places in listening.values() for place in places} <= {"127.0.0.1", "::1"}
    assert listening["api"] == [f"127.0.0.1:{ports['api']}"]
    assert listening["postgres"] == [f"127.0.0.1:{ports['postgres']}"]
    assert f"127.0.0.1:{ports['temporal']}" in listening["temporal"]


def test_forwarded_headers_are_not_trusted(stack: DevStack, terminal: Terminal) -> None:
    key = (stack.home / "keys" / "operator.key").read_text().strip()
    ports = json.loads((stack.home / "ports.json").read_text())
    refused = httpx.post(
        f"http://127.0.0.1:{ports['api']}/api/v1/workflows/nothing/runs",
        json={"input": 1},
        headers={"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.9"},
    )
    commands = terminal.json("audit", "list")["items"]
    (command,) = [each for each in commands if each["command_id"] == refused.json()["command_id"]]
    assert command["address"] == "127.0.0.1"


async def test_the_tools_role_can_only_connect_to_the_tools_database(stack: DevStack) -> None:
    import asyncpg

    app = stack.child("worker").environ()["APP_DATABASE_URL"]
    connection = await asyncpg.connect(app)
    await connection.execute("CREATE SCHEMA mine")
    await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(app.removesuffix("/app") + "/agentgrid")


def test_listening_on_another_address_without_a_signing_key_is_refused(
    terminal: Terminal, stack: DevStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AGENTGRID_SIGNING_KEY_FILE")
    refused = terminal.cli("api", "--host", "0.0.0.0")
    assert refused.code == ExitCode.USAGE
    assert "AGENTGRID_SIGNING_KEY_FILE" in refused.err


def test_a_second_dev_on_the_same_home_is_refused(terminal: Terminal) -> None:
    refused = terminal.cli("dev")
    assert refused.code == ExitCode.FAILED
    assert "is in use by process" in refused.err


def test_crashes_changed_code_ctrl_c_and_kill_lose_nothing(terminal: Terminal, stack: DevStack) -> None:
    run_id = terminal.start()
    terminal.approval_of(run_id)

    stack.child("worker").kill()
    stack.wait_for("worker was killed by SIGKILL; restarting it", 10)
    stack.wait_for_child("worker", 10)
    log = stack.home / "logs" / "worker.log"
    until(lambda: log.read_text().count("worker_started") == 2)

    tool = stack.root / "activities" / "notes.py"
    good = tool.read_text()
    tool.write_text(good + "\n1 / 0\n")
    output = stack.wait_for("the worker keeps running the old code", 20)
    assert "ZeroDivisionError" in output
    tool.write_text(good + "\n# mended\n")
    stack.wait_for("restarting the worker", 20)

    before = stack.children()
    assert stack.process is not None
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait(10)
    assert all_ended(before, 20), "children die with their parent"
    assert terminal.cli("run", "list").code == ExitCode.UNAVAILABLE

    assert stack.ready_file.exists(), "no process was left to remove it"
    tool.write_text(good + "\n1 / 0\n")
    stack.start()
    assert not stack.ready_file.exists(), "not everything is ready"
    assert "no worker will run until the project's code is fixed" in stack.output.read_text()
    assert terminal.status(run_id) == "waiting"
    tool.write_text(good)
    stack.wait_for("restarting the worker", 20)
    until(stack.ready_file.exists)
    assert json.loads(stack.ready_file.read_text())["pid"] == stack.process.pid
    approval_id = terminal.approval_of(run_id)["approval_id"]
    assert terminal.cli("approval", "approve", approval_id, "--profile", "reviewer", "--yes").code == ExitCode.OK
    assert terminal.cli("run", "watch", run_id).code == ExitCode.OK

    before = stack.children()
    assert stack.end(signal.SIGINT) == ExitCode.OK
    assert not stack.ready_file.exists()
    assert all_ended(before, 5), "Ctrl-C leaves no child"
