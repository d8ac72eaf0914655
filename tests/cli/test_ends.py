"""However a command is cut short (Ctrl-C, a full disk, a closed stream, another server), it reports what was sent and exits with the right code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import click
import pytest

from agentgrid.cli import client
from agentgrid.cli.exits import ExitCode
from agentgrid.cli.nouns import NOUNS, load
from tests.cli.conftest import KEY, Cli, FakeServer, Reply, problem
from tests.cli.terminal import on_terminal

PROGRAM = [sys.executable, "-m", "agentgrid.cli.main"]
APPROVE = ("approval", "approve", "a", "--yes")

APPROVAL: dict[str, Any] = {
    "approval_id": "a",
    "run_id": "r",
    "workflow": "greet",
    "run_status": "waiting",
    "kind": "tool",
    "title": "Refund",
    "tool": "refund",
    "status": "pending",
    "initiator": "operator",
    "approvers": ["role:approver"],
    "policy": "ask@1",
    "reason": None,
    "opened_at": "2026-01-01T00:00:00Z",
    "expires_at": None,
    "claimed_initiator": None,
    "decided_by": None,
    "attributed": None,
    "unattributed_because": None,
    "digest": "d" * 64,
    "payload": {"size": 2, "value": {}},
    "decisions": [],
    "actions": [{"verb": "approve", "allowed": True, "reason": None}],
}
DETAIL = "GET /approvals/a"
DECISION = "POST /approvals/a/decisions"


@pytest.fixture
def held(server: FakeServer) -> Iterator[threading.Event]:
    """An event for scripted replies to wait on; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def interrupting(held: threading.Event) -> Reply:
    """Ctrl-C arrives while the server has the request but has not answered."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        held.wait(20)
        handler.close_connection = True

    return Reply(act=act)


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_ctrl_c_before_the_decision_reports_that_nothing_was_sent(
    cli: Cli, server: FakeServer, held: threading.Event, verb: str
) -> None:
    server.on(DETAIL, interrupting(held))
    ended = cli("approval", verb, "a", "--yes")
    assert ended.code == ExitCode.INTERRUPTED
    assert "Nothing was sent: the decision on approval a was not requested" in ended.err
    assert [seen.method for seen in server.seen] == ["GET"]


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize("output", ["table", "json"])
def test_ctrl_c_during_the_decision_reports_that_it_was_sent(
    cli: Cli, server: FakeServer, held: threading.Event, verb: str, output: str
) -> None:
    server.on(DETAIL, Reply(body=APPROVAL))
    server.on(DECISION, interrupting(held))
    ended = cli("approval", verb, "a", "--yes", "-o", output)
    assert ended.code == ExitCode.INTERRUPTED
    message = json.loads(ended.err.splitlines()[-1])["detail"] if output == "json" else ended.err
    assert "The request was sent, but it is not known whether the decision on approval a was carried out" in message


def test_a_server_that_hangs_during_a_decision_times_out_within_ten_seconds(
    cli: Cli, server: FakeServer, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(handler: BaseHTTPRequestHandler) -> None:
        held.wait(20)
        handler.close_connection = True

    assert client.TOTAL_SECONDS <= 10
    monkeypatch.setattr(client, "TOTAL_SECONDS", 0.5)
    server.on(DETAIL, Reply(body=APPROVAL))
    server.on(DECISION, Reply(act=act))
    ended = cli(*APPROVE)
    assert ended.code == ExitCode.UNAVAILABLE
    assert "The request was sent" in ended.err


@pytest.mark.parametrize("without", ["digest", "actions", "payload", "status", None])
def test_nothing_is_requested_from_a_server_of_another_version(
    cli: Cli, server: FakeServer, without: str | None
) -> None:
    """What can't be shown in full must not be approved."""
    body = {name: value for name, value in APPROVAL.items() if name != without} if without else ["not", "an", "object"]
    server.on(DETAIL, Reply(body=body))
    ended = cli(*APPROVE)
    assert ended.code == ExitCode.FAILED
    assert "doesn't match this version of the CLI" in ended.err
    assert [seen.method for seen in server.seen] == ["GET"]


def test_a_decisions_reason_and_comment_are_never_truncated(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = {
        "judged": "refused",
        "verdict": "approved",
        "principal": "reviewer",
        "attributed": True,
        "signalled_at": "2026-01-01T00:00:00Z",
        "reason": "signed by a key that the approval does not know",
        "comment": "checked against the invoice and the order, twice",
    }
    refusal = {"verb": "approve", "allowed": False, "reason": "it is expired"}
    closed = {"status": "expired", "decisions": [decision], "actions": [refusal]}
    server.on(DETAIL, Reply(body=APPROVAL | closed))
    shown = " ".join(" ".join(on_terminal(monkeypatch, 50, ["approval", "show", "a"])).split())
    assert f"why: {decision['reason']} comment: {decision['comment']}" in shown
    assert "you can't decide this approval" not in shown, "its status already says so"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no pending approvals"),
        (("--mine",), "no approvals that you can decide now"),
        (("--mine", "--status", "pending"), "no approvals that you can decide now"),
        (("--status", "rejected"), "no approvals"),
    ],
)
def test_an_empty_approval_list_names_its_filter(
    cli: Cli, server: FakeServer, options: tuple[str, ...], words: str
) -> None:
    server.on("GET /approvals", Reply(body={"items": [], "next_cursor": None}))
    ended = cli("approval", "list", *options)
    assert (ended.code, ended.out, ended.err.strip()) == (ExitCode.OK, "", words)


@pytest.mark.parametrize(
    ("command", "route", "words"),
    [
        ("policy list", "/policies", "no rules"),
        ("audit unattributed", "/commands/unattributed", "no unattributed actions"),
    ],
)
def test_an_empty_list_says_what_there_is_none_of(
    cli: Cli, server: FakeServer, command: str, route: str, words: str
) -> None:
    server.on(f"GET {route}", Reply(body={"items": [], "next_cursor": None}))
    assert cli(*command.split()).err.strip() == words


def test_unknown_values_of_a_newer_server_are_shown_as_is(cli: Cli, server: FakeServer) -> None:
    server.on(DETAIL, Reply(body=APPROVAL | {"status": "delegated", "also": {"something": "new"}}))
    ended = cli("approval", "show", "a")
    assert ended.code == ExitCode.OK
    assert "delegated" in ended.out


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_full_disk_is_reported_and_the_decision_is_not_repeated(server: FakeServer, output: str) -> None:
    server.on(DETAIL, Reply(body=APPROVAL))
    server.on(DECISION, Reply(status=202, body=APPROVAL | {"command": {"command_id": "c", "status": "delivered"}}))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, *APPROVE, "-o", output], stdout=full, stderr=subprocess.PIPE, timeout=60, env=dict(os.environ)
        )
    assert done.returncode == ExitCode.FAILED
    assert b"can't write the output: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert [seen.method for seen in server.seen] == ["GET", "POST"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_causes_no_traceback(server: FakeServer, tmp_path: Path, closed: str) -> None:
    server.on("GET /runs", Reply(body={"items": [], "next_cursor": None}))
    command = f"exec {' '.join(PROGRAM)} run list -o json {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, env=dict(os.environ))
    assert done.returncode in (ExitCode.OK, ExitCode.FAILED)
    assert b"Traceback" not in done.stdout + done.stderr
    assert len(server.seen) == 1


def test_characters_outside_the_terminals_encoding_cause_no_traceback(server: FakeServer) -> None:
    server.on("GET /runs/r", problem(404, "not_found", "there is no 日本 ✓"))
    environment = dict(os.environ) | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([*PROGRAM, "run", "get", "r"], capture_output=True, timeout=60, env=environment)
    assert done.returncode == ExitCode.NOT_FOUND
    assert b"Traceback" not in done.stderr


def parameters(command: click.Command) -> Iterator[tuple[str, str]]:
    """Every option and argument of a command and its subcommands."""
    for parameter in command.params:
        for name in (*parameter.opts, parameter.name or ""):
            yield command.name or "", name
    for child in getattr(command, "commands", {}).values():
        yield from parameters(child)


def test_no_option_takes_a_secret() -> None:
    """Shell histories and process lists would expose it."""
    options = [option for name in NOUNS for option in parameters(load(name))]
    assert len(options) > 100
    secret_words = ("api-key", "api_key", "token", "secret", "password", "bearer", "authorization")
    assert [option for option in options if any(word in option[1].lower() for word in secret_words)] == []


def test_the_api_key_is_in_no_process_argument_and_in_no_file_but_its_own(
    server: FakeServer, home: Path, held: threading.Event
) -> None:
    def act(handler: BaseHTTPRequestHandler) -> None:
        held.wait(20)
        handler.close_connection = True

    server.on("GET /runs", Reply(act=act))
    process = subprocess.Popen(
        [*PROGRAM, "run", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    deadline = time.monotonic() + 30
    while not server.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    secret = KEY.split("_", 2)[2].encode()
    assert server.seen[0].headers["Authorization"] == f"Bearer {KEY}"
    assert secret not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert secret not in Path(f"/proc/{process.pid}/environ").read_bytes()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert secret not in out + err
    assert [file.name for file in home.rglob("*") if file.is_file() and secret in file.read_bytes()] == ["some.key"]
