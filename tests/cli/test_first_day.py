"""What newcomers ran into: each of these once misled, showed nothing, or was refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.console import Console

from agentgrid.cli import workers
from agentgrid.cli.client import unreachable
from agentgrid.cli.exits import ExitCode
from agentgrid.cli.show import details
from tests.api import factories
from tests.api.conftest import Api, api
from tests.cli.conftest import Cli, FakeServer, Reply, problem
from tests.cli.terminal import on_terminal
from tests.cli.test_govern import Run, admin
from tests.cli.test_ids import RUN, TWIN, page
from tests.cli.test_run_watch import APPROVAL, a_run, a_step
from tests.forks import COMMAND_LINE, Forks

__all__ = ["admin", "api"]

DETAIL = {
    "run_id": RUN,
    "workflow_id": RUN,
    "status_reason": None,
    "error_type": None,
    "unattributed_signals": 0,
    "last_control": None,
    "initiator": "operator",
    "reference": None,
    "subject": None,
    "tags": [],
    "note": None,
    "version": "v1",
    "task_queue": "q",
    "parent_run_id": None,
    "links": {"temporal_ui": None},
    "children": [],
    "input": None,
}


def query_of(server: FakeServer, path: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit([seen.path for seen in server.seen if seen.path.startswith(f"/api/v1{path}")][-1]).query)


# --- who approved


@pytest.mark.parametrize(
    ("approval", "expected"),
    [
        ({"status": "approved", "attributed": True, "decided_by": "reviewer"}, "approved by reviewer"),
        ({"status": "rejected", "attributed": True, "decided_by": "reviewer"}, "rejected by reviewer"),
        (
            {"status": "approved", "attributed": True, "decided_by": "reviewer", "changed_digest": "d"},
            "approved by reviewer, with changed arguments",
        ),
        ({"status": "approved", "attributed": False, "decided_by": None}, "approved by an unattributed sender"),
        ({"status": "expired", "attributed": None, "decided_by": None}, "expired"),
    ],
    ids=["approved", "rejected", "changed", "unattributed", "expired"],
)
def test_a_step_shows_who_approved_it(cli: Cli, server: FakeServer, approval: dict[str, Any], expected: str) -> None:
    server.on(f"GET /runs/{RUN}", Reply(body=a_run("completed") | DETAIL))
    server.on(f"GET /runs/{RUN}/steps", page(a_step(5, name="pay_invoice", approval_id="a-1"), a_step(9)))
    server.on(f"GET /runs/{RUN}/approvals", page({"approval_id": "a-1"} | approval))
    shown = cli("run", "show", RUN)
    assert shown.code == ExitCode.OK, shown.err
    (line,) = [line for line in shown.out.splitlines() if "pay_invoice" in line]
    assert expected in line


def test_a_watched_step_shows_who_approved_it(cli: Cli, server: FakeServer) -> None:
    server.on(f"GET /runs/{RUN}", Reply(body=a_run("completed") | DETAIL))
    server.on(f"GET /runs/{RUN}/steps", page(a_step(5, approval_id="a-1")))
    server.on(f"GET /runs/{RUN}/logs", page())
    decided = {"approval_id": "a-1", "status": "approved", "attributed": True, "decided_by": "reviewer"}
    server.on(f"GET /runs/{RUN}/approvals", page(decided))
    assert "approved by reviewer" in cli("run", "watch", RUN).out


def test_a_runs_approvals_are_listed_in_every_status(cli: Cli, server: FakeServer) -> None:
    server.on("GET /approvals", page())
    cli("approval", "list", "--run", RUN)
    assert query_of(server, "/approvals") == {"run": [RUN], "limit": ["50"]}
    cli("approval", "list")
    assert query_of(server, "/approvals")["status"] == ["pending"]


def test_a_decided_approval_is_listed_with_who_decided_and_no_expiry(cli: Cli, server: FakeServer) -> None:
    at = "2026-01-31T09:00:00Z"
    values = {"title": "Pay", "tool": "pay", "workflow": "w", "initiator": "operator", "opened_at": at}
    values |= {"expires_at": "2030-05-05T09:00:00Z", "unattributed_because": "no command confirms it"}
    decided = {"approval_id": RUN, "status": "approved", "attributed": True, "decided_by": "reviewer"}
    open_ = {"approval_id": TWIN, "status": "pending", "attributed": None, "decided_by": None}
    server.on("GET /approvals", page(values | decided, values | open_))
    _, first, second = cli("approval", "list", "--run", RUN).out.splitlines()
    assert ("reviewer" in first, "2030-05-05" in first) == (True, False)
    assert ("reviewer" in second, "2030-05-05" in second) == (False, True)


# --- hints that work


@pytest.mark.parametrize(("answers", "hint"), [((0, 1), "--profile reviewer"), ((1, 1), None), ((0, 0), "")])
def test_only_a_profile_that_may_decide_is_suggested(
    cli: Cli, server: FakeServer, answers: tuple[int, int], hint: str | None
) -> None:
    waiting = a_run("waiting", waiting_on="approval", approvals=[APPROVAL])
    server.on(f"GET /runs/{RUN}", Reply(body=waiting | DETAIL))
    server.on(f"GET /runs/{RUN}/steps", page())
    server.on("GET /approvals", *(page(*[APPROVAL] * count) for count in answers))
    shown = cli("run", "show", RUN)
    assert shown.code == ExitCode.OK, shown.err
    assert "waits for support-leads" in shown.out
    assert ("approval approve a-1" in shown.out) is any(answers)
    if hint is None:
        assert "--profile" not in shown.out, "the current profile may decide"
    else:
        assert hint in shown.out


async def test_a_rule_for_a_group_without_approvers_warns(api: Api, admin: Run) -> None:
    await factories.insert(api.plane.engine, factories.tool("wire"))
    wrong = await admin("tool", "policy", "wire", "require_approval", "--approver", "suport-leads")
    assert "nobody is in 'suport-leads'" in wrong.out
    assert "so nobody can approve; did you mean 'support-leads'?" in wrong.out
    assert "nobody is in" in (await admin("policy", "show", "tool:wire")).out
    partly = await admin("tool", "policy", "wire", "require_approval", "--approver", "x", "--approver", "reviewer")
    assert "nobody is in 'x'" in partly.out
    assert "nobody can approve" not in partly.out
    right = await admin("tool", "policy", "wire", "require_approval", "--approver", "support-leads")
    assert "nobody is in" not in right.out
    admins = await admin("tool", "policy", "wire", "require_approval", "--approver", "robot")
    assert "nobody is in 'robot'" in admins.out, "programs never decide"


# --- what the audit log says


async def test_the_audit_log_shows_what_was_requested(api: Api, admin: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = factories.run()
    approval = factories.approval(run)
    await factories.insert(api.plane.engine, factories.tool("fax"), run, factories.execution(run), approval)
    await admin("tool", "policy", "fax", "deny", "--reason", "nobody reads it")
    async with api.client("operator") as client:
        for name in ("hold", "x\x00y"):
            await client.post(f"/api/v1/runs/{run.run_id}/signal", json={"name": name, "arguments": ["secret"]})
    async with api.client("second") as client:
        for verdict in ("approved", "rejected", "perhaps"):
            await client.post(
                f"/api/v1/approvals/{approval.approval_id}/decisions", json={"verdict": verdict, "digest": "stale"}
            )
    monkeypatch.setenv("AGENTGRID_API_KEY", api.tokens["auditor"])
    listed = (await admin("audit", "list")).out
    for words in ("tool.policy deny", "run.signal hold", "approval.decide approved", "approval.decide rejected"):
        assert words in listed
    assert "perhaps" not in listed, "a refused request's body may contain anything"
    assert "secret" not in listed
    items = (await admin("audit", "list", "--kind", "run.signal", "-o", "json")).json()["items"]
    command_id = next(item["command_id"] for item in items if item["what"] == "hold")
    for given in (command_id, command_id[-8:]):
        shown = (await admin("audit", "show", given)).out
        assert "run.signal hold" in shown
        assert run.run_id in shown
        assert "operator" in shown
    await admin("audit", "show", "no-such-command", code=ExitCode.NOT_FOUND)


def test_the_audit_list_has_room_for_the_command_ids(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    command = {
        "command_id": RUN,
        "kind": "run.update",
        "what": None,
        "status": "refused",
        "principal": "operator",
        "run_id": RUN,
        "approval_id": None,
        "target": None,
        "reason": "a long reason " * 9,
        "outcome": {"message": "a long message " * 9},
        "created_at": "2026-01-31T09:00:00Z",
    }
    server.on("GET /commands", page(command))
    heading, line = on_terminal(monkeypatch, 80, ["audit", "list"])
    assert "COMMAND" in heading
    assert line.count(RUN[-8:]) == 2


def test_a_commands_outcome_is_shown_as_text() -> None:
    outcome = {"faults": [{"pointer": "/name", "message": "no such update"}], "alone": True, "roles": ["a", "b"]}
    assert details(outcome) == {"faults": "/name no such update", "alone": "yes", "roles": "a, b"}


# --- filters, names, dates


def test_stuck_runs_are_listed_with_the_reason(cli: Cli, server: FakeServer) -> None:
    from tests.cli.test_tables import run

    stuck = run(0, waiting_on="worker", status_reason="no worker polls the queue invoices")
    server.on("GET /runs", page(stuck))
    shown = cli("run", "list", "--stuck", "--waiting-on", "worker", "--waiting-on", "retry", "--parent", RUN)
    assert "no worker polls the queue invoices" in shown.out
    expected = {"stuck": ["true"], "waiting_on": ["worker", "retry"], "parent": [RUN], "limit": ["50"]}
    assert query_of(server, "/runs") == expected


def test_a_date_is_midnight_utc(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", page())
    cli("run", "list", "--started-after", "2026-11-28", "--started-before", "2026-11-29T08:00:00+02:00")
    given = query_of(server, "/runs")
    assert (given["started_after"], given["started_before"]) == (
        ["2026-11-28T00:00:00+00:00"],
        ["2026-11-29T08:00:00+02:00"],
    )
    wrong = cli("run", "list", "--started-after", "2026-11-31")
    assert (wrong.code, "a date such as 2030-01-31" in wrong.err) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("arguments", "plural"),
    [
        (("run", "start", "suport_triage"), "workflows"),
        (("workflow", "show", "suport_triage"), "workflows"),
        (("workflow", "disable", "suport_triage", "--yes"), "workflows"),
        (("tool", "show", "suport_triage"), "tools"),
        (("tool", "policy", "suport_triage", "deny"), "tools"),
        (("tool", "enable", "suport_triage"), "tools"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_a_mistyped_name_gets_suggestions(
    cli: Cli, server: FakeServer, arguments: tuple[str, ...], plural: str
) -> None:
    server.on(f"GET /{plural}", page({"name": "support_triage"}, {"name": "invoice"}))
    refused = cli(*arguments)
    assert refused.code == ExitCode.NOT_FOUND
    assert "did you mean support_triage?" in refused.err


def test_an_empty_list_says_that_the_name_may_be_mistyped(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", page())
    server.on("GET /workflows", page({"name": "support_triage"}))
    listed = cli("run", "list", "--workflow", "suport_triage")
    assert listed.code == ExitCode.OK
    assert "no workflow is called 'suport_triage'; did you mean support_triage?" in listed.err
    assert "did you mean" not in cli("run", "list", "--workflow", "support_triage").err


def test_a_mistyped_command_or_status_gets_suggestions(cli: Cli) -> None:
    assert "list" in cli("run", "lst").err
    assert "'completed'" in cli("run", "list", "--status", "complete").err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("wor", {"workflow", "worker"}),
        ("queue ", {"list"}),
        ("run start s", {"support_triage"}),
        ("run start ", {"support_triage", "invoice"}),
        ("workflow show in", {"invoice"}),
        ("tool policy se", {"send_mail"}),
        ("tool policy send_mail req", {"require_approval"}),
        ("run list --status c", {"cancelling", "completed", "cancelled"}),
        ("run list --waiting-on ti", {"timer"}),
        ("approval list --status p", {"pending"}),
        ("run list --profile r", {"reviewer"}),
    ],
)
def test_the_shell_completes(server: FakeServer, home: Path, forks: Forks, words: str, expected: set[str]) -> None:
    server.on("GET /workflows", page({"name": "support_triage"}, {"name": "invoice"}))
    server.on("GET /tools", page({"name": "send_mail"}))
    typed = f"agentgrid {words}"
    environment = os.environ | {
        "_AGENTGRID_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    done = forks.run(COMMAND_LINE, env=environment)
    assert set(done.stdout.split()) == expected, done.stderr


def test_an_unknown_command_is_refused_with_suggestions(cli: Cli) -> None:
    refused = cli("runn", "list")
    assert refused.code == ExitCode.USAGE
    assert "Did you mean 'run'?" in refused.err


def test_completion_without_a_server_is_silent(home: Path) -> None:
    from agentgrid.cli import names

    assert names.profiles("") == []


def test_the_version_is_printed(cli: Cli) -> None:
    shown = cli("--version")
    assert shown.code == ExitCode.OK
    assert re.fullmatch(r"agentgrid \d+\.\d+\.\d+\n", shown.out)


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "terminate"])
def test_yes_is_accepted_by_every_verb(cli: Cli, server: FakeServer, verb: str) -> None:
    server.on(f"POST /runs/{RUN}/{verb}", problem(409, "conflict", "it has ended"))
    assert "it has ended" in cli("run", verb, RUN, "-y").err


@pytest.mark.parametrize("open_child", [True, False])
def test_an_accepted_interrupt_mentions_open_child_runs(cli: Cli, server: FakeServer, open_child: bool) -> None:
    child = {"run_id": "c", "workflow": "w", "closed_at": None if open_child else "2026-01-31T09:00:00Z"}
    run = {"run_id": RUN, "status": "running", "waiting_on": None, "children": [child]}
    for verb in ("interrupt", "pause"):
        server.on(f"POST /runs/{RUN}/{verb}", Reply(status=202, body=run | {"command": {"command_id": "k"}}))
    interrupted = cli("run", "interrupt", RUN, "--message", "stop")
    assert interrupted.code == ExitCode.OK, interrupted.err
    assert (f"agentgrid run list --parent {RUN}" in interrupted.out) == open_child
    assert "child" not in cli("run", "pause", RUN).out


# --- servers and workers


def test_the_error_for_an_unreachable_server_says_what_to_start(cli: Cli, server: FakeServer) -> None:
    server.close()
    for arguments in (("run", "list"), ("run", "cancel", RUN), ("run", "watch", RUN)):
        ended = cli(*arguments)
        assert ended.code == ExitCode.UNAVAILABLE
        assert "is `agentgrid dev` running?" in ended.err
        assert "?." not in ended.err
        assert "Errno" not in ended.err
    remote = unreachable("https://grid.example", OSError("[Errno 111] Connection refused"))
    assert (
        remote
        == "https://grid.example can't be reached (Connection refused): is the server running, and is this its URL?"
    )


def test_build_and_deployment_are_shown_separately() -> None:
    worker = {
        "identity": "1@host",
        "task_queue": "invoices",
        "status": "live",
        "last_heartbeat_at": "2026-01-31T09:00:00Z",
        "started_at": "2026-01-31T09:00:00Z",
        "workflow_slots": None,
        "activity_slots": None,
    }
    console = Console(width=10_000, height=25, color_system=None)
    with console.capture() as captured:
        console.print(workers._table([worker | {"build": "a-long-grid-name.v1.2.3"}, worker | {"build": None}]))
    _, built, plain = captured.get().splitlines()
    assert "v1.2.3" in built.split()
    assert "a-long-grid-name" in built.split()
    assert plain.split().count("–") == 4


def test_an_empty_worker_list_says_that_a_new_worker_takes_a_moment(server: FakeServer, cli: Cli) -> None:
    server.on("GET /workers", page())
    assert "within ten seconds of its start" in cli("worker", "list").err


@pytest.mark.parametrize("url", ["postgresql+asyncpg://me:secret@host/db", "mysql://me:secret@host/db", "host"])
def test_a_database_url_that_no_process_can_use_is_refused_without_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("AGENTGRID_DATABASE_URL", url)
    ended = cli("key", "list")
    assert ended.code == ExitCode.USAGE
    assert "AGENTGRID_DATABASE_URL: it must begin with postgresql://" in ended.err
    assert "secret" not in ended.err


def test_an_unreachable_database_is_reported_with_the_setting_to_check(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTGRID_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/db")
    ended = cli("key", "list")
    assert ended.code == ExitCode.UNAVAILABLE
    assert "check AGENTGRID_DATABASE_URL" in ended.err
    assert "secret" not in ended.err
