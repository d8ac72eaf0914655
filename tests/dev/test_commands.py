"""Everything can be done from the command line, against a running `agentgrid dev`."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from tests.dev.conftest import NOTE, Terminal, until
from tests.dev.stack import DevStack


def test_a_run_is_started_approved_and_watched(terminal: Terminal, stack: DevStack) -> None:
    cli = terminal.cli
    run_id = terminal.start()
    approval = terminal.approval_of(run_id)
    approve = ("approval", "approve", approval["approval_id"])

    refused = cli(*approve, "--yes")
    assert refused.code == ExitCode.NOT_ALLOWED, "the person who starts a run can't approve it"

    unconfirmed = cli(*approve, "--profile", "reviewer")
    assert unconfirmed.code == ExitCode.USAGE
    assert approval["digest"] in unconfirmed.err
    assert "Hello \\u001b[31m\\u202e" in unconfirmed.err, "the real payload is shown, with control characters escaped"

    stale = cli(*approve, "--profile", "reviewer", "--yes", "--digest", "another")
    assert stale.code == ExitCode.FAILED
    assert "Nothing was sent" in stale.err

    assert cli(*approve, "--profile", "reviewer", "--yes", "--comment", "well spotted").code == ExitCode.OK
    watched = cli("run", "watch", run_id)
    assert watched.code == ExitCode.OK, watched.err
    assert "completed" in watched.out
    assert "publish" in watched.out

    again = cli(*approve, "--profile", "reviewer", "--yes")
    assert again.code == ExitCode.FAILED
    shown = cli("approval", "show", approval["approval_id"])
    assert "reviewer" in shown.out
    assert "well spotted" in shown.out
    *_, note = (stack.folder / "notes.txt").read_text().splitlines()
    assert json.loads(note)["text"].startswith("Hello")


def test_watching_exits_with_the_runs_outcome(terminal: Terminal) -> None:
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
    assert "publish_note: the workflow has no signals" in refused.err
    assert cli("run", "cancel", run_id).code == ExitCode.OK
    until(lambda: terminal.status(run_id) == "cancelled")
    assert cli("run", "cancel", run_id).code == ExitCode.FAILED

    other = terminal.start()
    assert cli("run", "terminate", other, "--yes", "--reason", "enough").code == ExitCode.OK
    until(lambda: terminal.status(other) == "terminated")
    audit = terminal.cli("audit", "list", "--run", other)
    assert "run.terminate" in audit.out
    assert "enough" in audit.out


def test_a_tools_rule_is_set_shown_and_replaced(terminal: Terminal) -> None:
    cli = terminal.cli
    put = cli("tool", "policy", "publish", "deny", "--reason", "closed for today")
    assert put.code == ExitCode.OK, put.err
    assert "closed for today" in cli("tool", "show", "publish").out
    assert cli("tool", "policy", "publish", "allow", "--profile", "reviewer").code == ExitCode.NOT_ALLOWED
    assert cli("tool", "policy", "publish", "allow").code == ExitCode.OK


def test_approvers_see_the_reason_of_the_rule_that_requires_approval(terminal: Terminal) -> None:
    cli = terminal.cli
    put = cli("tool", "policy", "publish", "require_approval", "--reason", "notes are public since May")
    assert put.code == ExitCode.OK, put.err
    try:
        run_id = terminal.start()
        explicit = terminal.approval_of(run_id)["approval_id"]
        assert cli("approval", "approve", explicit, "--profile", "reviewer", "--yes").code == ExitCode.OK
        tool_approval = until(lambda: (approval := terminal.approval_of(run_id))["tool"] == "publish" and approval)[
            "approval_id"
        ]
        assert "notes are public since May" in cli("approval", "show", tool_approval).out
        assert "notes are public since May" in cli("approval", "approve", tool_approval, "--profile", "reviewer").err
        assert "notes are public" not in cli("approval", "show", explicit).out
        assert cli("approval", "approve", tool_approval, "--profile", "reviewer", "--yes").code == ExitCode.OK
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
def test_each_refusal_of_the_api_has_its_exit_code(
    terminal: Terminal, command: tuple[str, ...], code: ExitCode
) -> None:
    ended = terminal.cli(*command)
    assert ended.code == code, ended.err
    assert ended.err


def test_a_second_start_with_the_same_idempotency_key_returns_the_first_run(terminal: Terminal) -> None:
    start = ("run", "start", "publish_note", "--input", NOTE, "--idempotency-key", "once")
    first, second = terminal.json(*start), terminal.json(*start)
    assert first["run_id"] == second["run_id"]
    assert terminal.cli(*start, "--note", "another body").code == ExitCode.FAILED


def test_keys_are_created_listed_and_revoked_through_the_database(
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
