"""`agentgrid dev` brings everything up, everything can be done from the command line, and nothing is lost or left behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SOCK_DGRAM
from typing import Any

import httpx
import psutil
import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli
from tests.cli.stack import DevStack, all_ended

NOTE = '{"author": "Ada", "text": "Hello \\u001b[31m\\u202e"}'


@pytest.fixture(scope="module")
def stack() -> Iterator[DevStack]:
    running = DevStack()
    try:
        running.start()
        yield running
    finally:
        running.dispose()


@pytest.fixture(autouse=True)
def in_the_project(stack: DevStack, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another terminal, in the project's folder. A test that stopped the stack doesn't decide what the next one meets."""
    if not stack.runs:
        stack.start()
    monkeypatch.delenv("AGENTGRID_HOME")
    monkeypatch.chdir(stack.root)


def until(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `look` gives, once it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not come about within {seconds} s")


class Terminal:
    """What the tests do again and again on the command line."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli

    def json(self, *arguments: str) -> Any:
        ended = self.cli(*arguments, "-o", "json")
        assert ended.code == ExitCode.OK, ended.err
        return ended.json()

    def start(self) -> str:
        return self.json("run", "start", "publish_note", "--input", NOTE)["run_id"]

    def status(self, run_id: str) -> str:
        return self.json("run", "get", run_id)["status"]

    def approval_of(self, run_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            items = self.json("approval", "list")["items"]
            return next((item for item in items if item["run_id"] == run_id and item["decidable"]), None)

        return until(look)


@pytest.fixture
def terminal(cli: Cli) -> Terminal:
    return Terminal(cli)


def test_everything_that_holds_a_secret_is_private(stack: DevStack) -> None:
    secrets = ["profiles.toml", "keys/operator.key", "keys/reviewer.key", "signing.pem", "passwords.json", "env"]
    for name in secrets:
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600, name
    key = (stack.home / "keys" / "operator.key").read_text().strip()
    said = stack.output.read_text()
    assert key not in said
    for process in stack.children():
        assert key not in " ".join(process.cmdline())
        assert "password" not in " ".join(process.cmdline()).lower() or "postgres" in process.name()


def test_the_ready_file_tells_a_script_where_everything_is(stack: DevStack) -> None:
    assert stack.process is not None
    told = json.loads(stack.ready_file.read_text())
    assert told["pid"] == stack.process.pid
    headers = {"Authorization": f"Bearer {Path(told['operator_key_file']).read_text().strip()}"}
    assert httpx.get(f"{told['api_url']}/me", headers=headers).json()["name"] == "operator"
    assert httpx.get(told["api_document_url"]).status_code == 200
    assert told["temporal_address"] == stack.settings()["AGENTGRID_TEMPORAL_ADDRESS"]
    assert (Path(told["home"]), Path(told["env_file"]).is_file()) == (stack.home, True)


def test_the_worker_is_given_nothing_that_opens_the_control_plane(stack: DevStack) -> None:
    environment = stack.child("worker").environ()
    assert "://agentgrid_dev_worker:" in environment["AGENTGRID_DATABASE_URL"]
    for name in ("api", "projector"):
        assert "://agentgrid_dev_control:" in stack.child(name).environ()["AGENTGRID_DATABASE_URL"], name
    assert "://agentgrid_app:" in environment["APP_DATABASE_URL"]
    assert not {"AGENTGRID_SIGNING_KEY_FILE", "AGENTGRID_API_KEY"} & environment.keys()
    assert Path(environment["AGENTGRID_HOME"]) == stack.home / "worker"


def test_r44_only_the_api_is_given_the_signing_key(stack: DevStack) -> None:
    named = [
        name for name in ("api", "projector", "worker") if "AGENTGRID_SIGNING_KEY_FILE" in stack.child(name).environ()
    ]
    assert named == ["api"]


def test_what_listens_listens_on_the_loopback_alone(stack: DevStack) -> None:
    listening: dict[str, list[str]] = {}
    for process in [psutil.Process(stack.process.pid), *stack.children()]:  # type: ignore[union-attr]
        for socket in process.net_connections(kind="inet"):
            if socket.status == psutil.CONN_LISTEN or (socket.type == SOCK_DGRAM and not socket.raddr):
                name = process.name() if "agentgrid.cli.main" not in process.cmdline() else process.cmdline()[3]
                listening.setdefault(name, []).append(f"{socket.laddr.ip}:{socket.laddr.port}")
    ports = json.loads((stack.home / "ports.json").read_text())
    assert set(listening) == {"api", "postgres", "temporal"}, "neither worker nor projector can be called"
    assert {place.rpartition(":")[0] for places in listening.values() for place in places} <= {"127.0.0.1", "::1"}
    assert listening["api"] == [f"127.0.0.1:{ports['api']}"]
    assert listening["postgres"] == [f"127.0.0.1:{ports['postgres']}"]
    assert f"127.0.0.1:{ports['temporal']}" in listening["temporal"]


def test_what_a_proxy_would_say_of_a_caller_is_not_believed(stack: DevStack, terminal: Terminal) -> None:
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


async def test_the_tools_database_is_the_only_one_that_their_role_may_enter(stack: DevStack) -> None:
    import asyncpg

    app = stack.child("worker").environ()["APP_DATABASE_URL"]
    connection = await asyncpg.connect(app)
    await connection.execute("CREATE SCHEMA mine")
    await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(app.removesuffix("/app") + "/agentgrid")


def test_a_run_is_started_approved_and_watched(terminal: Terminal, stack: DevStack) -> None:
    cli = terminal.cli
    run_id = terminal.start()
    approval = terminal.approval_of(run_id)
    approve = ("approval", "approve", approval["approval_id"])

    refused = cli(*approve, "--yes")
    assert refused.code == ExitCode.NOT_ALLOWED, "who starts a run never approves it"

    unasked = cli(*approve, "--profile", "reviewer")
    assert unasked.code == ExitCode.USAGE
    assert approval["digest"] in unasked.err
    assert "Hello \\u001b[31m\\u202e" in unasked.err, "the real payload is shown, and can't act on the terminal"

    stale = cli(*approve, "--profile", "reviewer", "--yes", "--digest", "another")
    assert stale.code == ExitCode.FAILED
    assert "Nothing was sent" in stale.err

    assert cli(*approve, "--profile", "reviewer", "--yes", "--comment", "well said").code == ExitCode.OK
    watched = cli("run", "watch", run_id)
    assert watched.code == ExitCode.OK, watched.err
    assert "completed" in watched.out
    assert "publish" in watched.out

    again = cli(*approve, "--profile", "reviewer", "--yes")
    assert again.code == ExitCode.FAILED
    shown = cli("approval", "show", approval["approval_id"])
    assert "reviewer" in shown.out
    assert "well said" in shown.out
    *_, note = (stack.folder / "notes.txt").read_text().splitlines()
    assert json.loads(note)["text"].startswith("Hello")


def test_watching_tells_the_command_that_answers_and_ends_with_the_runs_outcome(terminal: Terminal) -> None:
    run_id = terminal.start()
    approval_id = terminal.approval_of(run_id)["approval_id"]
    assert terminal.cli("approval", "reject", approval_id, "--profile", "reviewer", "--yes").code == ExitCode.OK
    watched = terminal.cli("run", "watch", run_id)
    assert watched.code == ExitCode.FAILED
    assert "failed" in watched.out
    assert "rejected by reviewer" in watched.out
    lines = terminal.cli("run", "watch", run_id, "-o", "json")
    assert lines.code == ExitCode.FAILED
    assert json.loads(lines.out.splitlines()[-1])["run_id"] == run_id


def test_a_run_is_paused_resumed_signalled_and_stopped(terminal: Terminal) -> None:
    cli = terminal.cli
    run_id = terminal.start()
    terminal.approval_of(run_id)
    assert cli("run", "pause", run_id, "--reason", "lunch").code == ExitCode.OK
    until(lambda: terminal.status(run_id) == "paused")
    assert cli("run", "pause", run_id).code == ExitCode.FAILED
    assert cli("run", "resume", run_id).code == ExitCode.OK
    until(lambda: terminal.status(run_id) == "waiting")
    assert cli("run", "signal", run_id, "agentgrid.decide").code == ExitCode.FAILED
    refused = cli("run", "signal", run_id, "hint", "--input", '{"a": 1}')
    assert refused.code == ExitCode.FAILED
    assert "publish_note: the workflow takes no signals" in refused.err
    assert cli("run", "cancel", run_id).code == ExitCode.OK
    until(lambda: terminal.status(run_id) == "cancelled")
    assert cli("run", "cancel", run_id).code == ExitCode.FAILED

    other = terminal.start()
    assert cli("run", "terminate", other, "--yes", "--reason", "enough").code == ExitCode.OK
    until(lambda: terminal.status(other) == "terminated")
    audit = terminal.cli("audit", "list", "--run", other)
    assert "run.terminate" in audit.out
    assert "enough" in audit.out


def test_a_policy_put_on_a_tool_holds_for_the_next_call(terminal: Terminal) -> None:
    cli = terminal.cli
    put = cli("tool", "policy", "publish", "deny", "--reason", "closed for today")
    assert put.code == ExitCode.OK, put.err
    assert "closed for today" in cli("tool", "show", "publish").out
    assert cli("tool", "policy", "publish", "allow", "--profile", "reviewer").code == ExitCode.NOT_ALLOWED
    assert cli("tool", "policy", "publish", "allow").code == ExitCode.OK


def test_who_approves_is_shown_the_reason_of_the_rule_that_asks(terminal: Terminal) -> None:
    cli = terminal.cli
    put = cli("tool", "policy", "publish", "require_approval", "--reason", "notes are public since May")
    assert put.code == ExitCode.OK, put.err
    try:
        run_id = terminal.start()
        explicit = terminal.approval_of(run_id)["approval_id"]
        assert cli("approval", "approve", explicit, "--profile", "reviewer", "--yes").code == ExitCode.OK
        gate = until(lambda: (found := terminal.approval_of(run_id))["tool"] == "publish" and found)["approval_id"]
        assert "notes are public since May" in cli("approval", "show", gate).out
        assert "notes are public since May" in cli("approval", "approve", gate, "--profile", "reviewer").err
        assert "notes are public" not in cli("approval", "show", explicit).out
        assert cli("approval", "approve", gate, "--profile", "reviewer", "--yes").code == ExitCode.OK
        assert cli("run", "watch", run_id).code == ExitCode.OK
    finally:
        assert cli("tool", "policy", "publish", "allow").code == ExitCode.OK


@pytest.mark.parametrize(
    "command",
    [
        ("overview",),
        ("run", "list"),
        ("run", "list", "--status", "completed", "--workflow", "publish_note", "--limit", "1"),
        ("approval", "list", "--mine"),
        ("approval", "list", "--status", "approved", "--status", "rejected"),
        ("workflow", "list"),
        ("workflow", "show", "publish_note"),
        ("tool", "list"),
        ("tool", "show", "publish"),
        ("worker", "list"),
        ("queue", "list"),
        ("audit", "list", "--kind", "run.start", "--limit", "2"),
    ],
    ids=" ".join,
)
def test_every_list_and_detail_is_shown_as_a_table_and_as_json(terminal: Terminal, command: tuple[str, ...]) -> None:
    shown = terminal.cli(*command)
    assert shown.code == ExitCode.OK, shown.err
    assert isinstance(terminal.json(*command), dict)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("run", "get", "01890000-0000-7000-8000-000000000000"), ExitCode.NOT_FOUND),
        (("run", "watch", "01890000-0000-7000-8000-000000000000"), ExitCode.NOT_FOUND),
        (("run", "logs", "no-such-run"), ExitCode.NOT_FOUND),
        (("approval", "approve", "no-such-approval", "--yes"), ExitCode.NOT_FOUND),
        (("workflow", "show", "no_such_workflow"), ExitCode.NOT_FOUND),
        (("run", "start", "no_such_workflow"), ExitCode.NOT_FOUND),
        (("run", "start", "publish_note", "--input", '{"author": 3}'), ExitCode.FAILED),
        (("run", "start", "publish_note", "--profile", "reviewer"), ExitCode.NOT_ALLOWED),
        (("run", "list", "--status", "nonsense"), ExitCode.USAGE),
        (("run", "list", "--cursor", "nonsense"), ExitCode.FAILED),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_api_refuses_ends_with_its_code(terminal: Terminal, command: tuple[str, ...], code: ExitCode) -> None:
    ended = terminal.cli(*command)
    assert ended.code == code, ended.err
    assert ended.err


def test_a_second_start_under_the_same_key_gives_the_first_run(terminal: Terminal) -> None:
    start = ("run", "start", "publish_note", "--input", NOTE, "--idempotency-key", "once")
    first, second = terminal.json(*start), terminal.json(*start)
    assert first["run_id"] == second["run_id"]
    assert terminal.cli(*start, "--note", "another body").code == ExitCode.FAILED


def test_keys_are_made_listed_and_revoked_through_the_database(
    terminal: Terminal, stack: DevStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli = terminal.cli
    for name, value in stack.settings().items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "bot.key"
    made = terminal.json("key", "create", "bot", "--kind", "service", "--role", "viewer", "--file", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "key" not in made
    assert any(key["key_id"] == made["key_id"] for key in terminal.json("key", "list", "--principal", "bot")["items"])
    monkeypatch.setenv("AGENTGRID_API_KEY", file.read_text().strip())
    assert cli("run", "list").code == ExitCode.OK
    assert cli("key", "revoke", made["key_id"]).code == ExitCode.OK
    assert cli("run", "list").code == ExitCode.NOT_ALLOWED
    assert cli("key", "revoke", "nosuchkey").code == ExitCode.NOT_FOUND
    assert cli("key", "create", "robot", "--kind", "service", "--role", "approver").code == ExitCode.FAILED
    assert cli("key", "create", "nobody-yet").code == ExitCode.NOT_FOUND


def test_the_projection_is_rebuilt_while_it_is_in_use(
    terminal: Terminal, stack: DevStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = terminal.start()
    terminal.approval_of(run_id)
    for name, value in stack.settings().items():
        if name != "AGENTGRID_API_URL":
            monkeypatch.setenv(name, value)
    assert terminal.json("rebuild", run_id)["executions"] == 1
    assert terminal.cli("rebuild", "no-such-run").code == ExitCode.NOT_FOUND
    assert terminal.status(run_id) == "waiting"
    refused = terminal.cli("db", "upgrade")
    assert refused.code == ExitCode.NOT_ALLOWED
    assert "Use the login that owns the schema" in refused.err


def test_another_address_without_a_signing_key_is_refused(
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
    stack.wait_for("worker was ended by SIGKILL; restarting it", 10)
    stack.wait_for_child("worker", 10)
    log = stack.home / "logs" / "worker.log"
    until(lambda: log.read_text().count("worker_started") == 2)

    tool = stack.root / "activities" / "notes.py"
    good = tool.read_text()
    tool.write_text(good + "\n1 / 0\n")
    said = stack.wait_for("the worker keeps running the old code", 20)
    assert "ZeroDivisionError" in said
    tool.write_text(good + "\n# mended\n")
    stack.wait_for("restarting the worker", 20)

    before = stack.children()
    assert stack.process is not None
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait(10)
    assert all_ended(before, 20), "children die with their parent"
    assert terminal.cli("run", "list").code == ExitCode.UNAVAILABLE

    assert stack.ready_file.exists(), "nobody was left to remove it"
    tool.write_text(good + "\n1 / 0\n")
    stack.start()
    assert not stack.ready_file.exists(), "not everything is ready"
    assert "no worker runs until the project's code is fixed" in stack.output.read_text()
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
