"""Watching a run: nothing is lost or shown twice when the connection breaks, and the exit code shows the outcome."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from rich.console import Console

from agentgrid.cli import run_follow
from agentgrid.cli.exits import ExitCode
from agentgrid.cli.profiles import ApiTarget
from agentgrid.cli.run_follow import RunFollower
from agentgrid.cli.run_view import step_table
from agentgrid.cli.run_watch import screen
from tests.cli.conftest import Cli, FakeServer, Reply, problem

AT = "2026-01-31T09:00:00Z"


def a_run(status: str = "running", **changed: Any) -> dict[str, Any]:
    closed = status in ("completed", "failed", "cancelled", "terminated", "timed_out")
    return {
        "run_id": "r",
        "workflow": "support_triage",
        "status": status,
        "waiting_on": None,
        "status_reason": None,
        "error_type": None,
        "started_at": AT,
        "closed_at": "2026-01-31T09:00:12Z" if closed else None,
        "next": {"summary": "runs", "until": None},
        "approvals": [],
        "result": {"size": 4, "value": {"ok": 1}} if status == "completed" else None,
        "error": {"type": "ToolError", "message": "no \x1b[31m", "cause": None} if status == "failed" else None,
    } | changed


def a_step(event_id: int, status: str = "completed", **changed: Any) -> dict[str, Any]:
    return {
        "execution_id": "e",
        "event_id": event_id,
        "kind": "tool",
        "name": f"tool_{event_id}",
        "title": None,
        "status": status,
        "inherited": False,
        "attempts": 1,
        "scheduled_at": AT,
        "started_at": AT,
        "closed_at": AT if status == "completed" else None,
        "due_at": None,
        "live_state": None,
        "live_attempt": None,
        "live_next_retry_at": None,
        "error": None,
        "live_error": None,
    } | changed


def a_log(log_id: int, message: str) -> dict[str, Any]:
    return {"log_id": log_id, "logged_at": AT, "level": "info", "message": message, "fields": {"n": 1}}


def page(*items: Any, cursor: str | None = None) -> Reply:
    return Reply(body={"items": list(items), "next_cursor": cursor})


APPROVAL = {
    "approval_id": "a-1",
    "title": "Send \u202ereply",
    "approvers": ["support-leads"],
    "expires_at": "2026-01-31T13:00:00Z",
}


def stream(*events: tuple[str, dict[str, Any]], then: Callable[[], None] = lambda: None) -> Reply:
    """Send these events, then break the connection."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for number, data in events:
            handler.wfile.write(f": beat\nid: {number}\nevent: run\ndata: {json.dumps(data)}\n\n".encode())
        handler.wfile.flush()
        then()
        handler.close_connection = True

    return Reply(act=act)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_follow, "READ_AT_MOST_EVERY_SECONDS", 0.02)


@pytest.fixture
def quiet(server: FakeServer) -> FakeServer:
    """A server with a run without steps or logs, whose event stream sends nothing and stays open."""
    server.on("GET /runs/r/steps", page())
    server.on("GET /runs/r/logs", page())
    server.on("GET /runs/r/events", stream(then=lambda: server.closing.wait(10)))
    return server


@pytest.mark.parametrize(
    ("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1), ("terminated", 1), ("timed_out", 1)]
)
def test_the_exit_code_shows_the_outcome(cli: Cli, quiet: FakeServer, status: str, code: int) -> None:
    quiet.on("GET /runs/r", Reply(body=a_run(status)))
    ended = cli("run", "watch", "r")
    assert ended.code == code
    assert status in ended.out
    assert "\x1b" not in ended.out
    assert not any(seen.path.endswith("/events") for seen in quiet.seen), "a closed run needs no stream"


def test_a_broken_stream_resumes_where_it_broke(cli: Cli, quiet: FakeServer) -> None:
    quiet.on(
        "GET /runs/r/events",
        stream(("41", {"n": 1}), ("42", {"n": 2})),
        Reply(status=502, body=b"<html>"),
        stream(("43", {"n": 3}), then=lambda: quiet.on("GET /runs/r", Reply(body=a_run("completed")))),
    )
    quiet.on("GET /runs/r", Reply(body=a_run()))
    ended = cli("run", "watch", "r", "-o", "json")
    assert ended.code == ExitCode.OK
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line.get("n") for line in lines[:-1]] == [1, 2, 3]
    assert lines[-1]["status"] == "completed"
    streams = [seen for seen in quiet.seen if seen.path.endswith("/events")]
    assert [seen.headers.get("Last-Event-ID") for seen in streams[:3]] == [None, "42", "42"]


def test_each_change_is_printed_once_in_plain_lines(cli: Cli, quiet: FakeServer) -> None:
    waiting = a_run(
        "waiting",
        waiting_on="approval",
        approvals=[APPROVAL],
        next={"summary": "waits", "until": APPROVAL["expires_at"]},
    )
    quiet.on(
        "GET /runs/r", Reply(body=a_run()), Reply(body=waiting), Reply(body=waiting), Reply(body=a_run("completed"))
    )
    retrying = a_step(9, "scheduled", live_state="running", live_attempt=2, live_error={"type": "Timeout"})
    quiet.on(
        "GET /runs/r/steps",
        page(a_step(5)),
        page(a_step(5), cursor="more"),
        page(retrying),
        page(a_step(5), a_step(9, attempts=3)),
    )
    quiet.on("GET /runs/r/logs", page(a_log(1, "one\x07")), page(a_log(1, "one\x07"), a_log(2, "two")))
    quiet.on("GET /runs/r/events", stream(("1", {}), ("2", {})))
    quiet.on("GET /approvals", page(), page(APPROVAL))  # the operator may decide nothing, the reviewer may
    ended = cli("run", "watch", "r")
    assert ended.code == ExitCode.OK
    assert ended.out.count("✓ tool_5") == 1
    assert "attempt 2" in ended.out
    assert "3 attempts" in ended.out
    assert ended.out.count("one\\x07") == 1
    assert ended.out.count("two") == 1
    assert ended.out.count("agentgrid approval approve a-1 --profile reviewer") == 1
    assert "Send \\u202ereply" in ended.out
    assert '"ok": 1' in ended.out


def test_watching_works_without_permission_to_read_logs(cli: Cli, quiet: FakeServer) -> None:
    quiet.on("GET /runs/r/logs", problem(403, "forbidden"))
    quiet.on("GET /runs/r", Reply(body=a_run("completed")))
    assert cli("run", "watch", "r").code == ExitCode.OK


def test_watching_survives_a_short_outage_of_the_api(cli: Cli, quiet: FakeServer) -> None:
    quiet.on("GET /runs/r/events", stream(("1", {})))
    quiet.on(
        "GET /runs/r",
        Reply(body=a_run()),
        problem(503, "unavailable", "the database is away"),
        Reply(body=a_run("completed")),
    )
    ended = cli("run", "watch", "r")
    assert ended.code == ExitCode.OK
    assert "the database is away" in ended.err
    assert "reconnected" in ended.err


def test_watching_gives_up_on_an_api_that_stays_unavailable(
    cli: Cli, quiet: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_follow, "GIVE_UP_SECONDS", 0.3)
    quiet.on("GET /runs/r/events", stream(("1", {})))
    quiet.on("GET /runs/r", Reply(body=a_run()), problem(503, "unavailable"))
    assert cli("run", "watch", "r").code == ExitCode.UNAVAILABLE


def test_losing_access_to_the_run_ends_watching(cli: Cli, quiet: FakeServer) -> None:
    quiet.on("GET /runs/r/events", stream(("1", {})))
    quiet.on("GET /runs/r", Reply(body=a_run()), problem(403, "forbidden"))
    assert cli("run", "watch", "r").code == ExitCode.NOT_ALLOWED


def test_ctrl_c_stops_watching_but_not_the_run(cli: Cli, quiet: FakeServer) -> None:
    quiet.on("GET /runs/r", Reply(body=a_run()))
    quiet.on("GET /runs/r/events", stream(("1", {}), then=lambda: os.kill(os.getpid(), signal.SIGINT)))
    ended = cli("run", "watch", "r")
    assert ended.code == ExitCode.INTERRUPTED
    assert "run r continues" in ended.err
    assert {seen.method for seen in quiet.seen} == {"GET"}


def test_a_step_is_shown_by_its_title_if_it_has_one() -> None:
    """The title that the tool's author chose, as everywhere else (F17)."""
    steps = [a_step(5, title="Send \x1b[31mthe reply"), a_step(9), a_step(11, "scheduled", live_state="paused")]
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(step_table(steps))
    first, second, third = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "Send" in first
    assert "tool_5" not in first
    assert "\x1b" not in first
    assert "tool_9" in second
    assert third.startswith("‖"), "paused in Temporal itself"


def test_steps_are_shown_below_their_parents() -> None:
    """A step whose parent is not shown, or is in another execution, is a top-level row."""
    steps = [
        a_step(5, parent=None),
        a_step(7, parent=None),
        a_step(9, parent=5),
        a_step(11, parent=9),
        a_step(13, parent=5),
        a_step(15, parent=1),
        a_step(17, parent=7, execution_id="another"),
    ]
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(step_table(steps))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [(line.split()[1], line.index("tool_")) for line in lines] == [
        ("tool_5", 3),
        ("tool_9", 5),
        ("tool_11", 7),
        ("tool_13", 5),
        ("tool_7", 3),
        ("tool_15", 3),
        ("tool_17", 3),
    ]


async def test_a_long_run_fits_on_the_terminal(server: FakeServer) -> None:
    target = ApiTarget(url=server.url, key=None, profile="operator")
    async with RunFollower(target, "r") as follower:
        follower.run = a_run("waiting", waiting_on="approval", approvals=[APPROVAL])
        follower.steps = [a_step(number) for number in range(300)]
        follower.logs.extend(a_log(number, "x" * 500) for number in range(100))
        console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
        follower.deciders = {"a-1": ApiTarget(url=server.url, key=None, profile="reviewer")}
        console.print(screen(follower, console))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert len(shown.splitlines()) <= 24
    assert "earlier steps" in shown
    assert "tool_299" in shown
    assert "--profile reviewer" in shown


def a_delta(text: str, **changed: Any) -> dict[str, Any]:
    return {"agent": "desk", "call": "a", "turn": 1, "attempt": 1, "sequence": 1, "text": text, "tools": []} | changed


async def test_the_partial_answer_shown_is_from_one_request_of_one_agent(server: FakeServer) -> None:
    target = ApiTarget(url=server.url, key=None, profile="operator")
    async with RunFollower(target, "r") as follower:
        for delta, shown in (
            (a_delta("The order "), ("desk", "The order ")),
            (a_delta("Meanwhile", agent="lead", call="b"), ("lead", "Meanwhile")),
            (a_delta("is late.", sequence=2, tools=["look"]), ("desk", "The order is late. [look]")),
            # The same turn again, after an interruption or by another model.
            (a_delta("It is "), ("desk", "It is ")),
            (a_delta("fine.", sequence=3), ("desk", "It is fine.")),
            (a_delta("Again", attempt=2, sequence=4), ("desk", "Again")),
            (a_delta("Next", turn=2, sequence=9), ("desk", "Next")),
        ):
            follower._add_delta(delta)
            assert follower.partial_answer == shown
        for number in range(3 * run_follow.MAX_ANSWERS):
            follower._add_delta(a_delta("x" * 2 * run_follow.MAX_ANSWER_CHARACTERS, call=str(number)))
        assert len(follower._answers) == run_follow.MAX_ANSWERS
        assert len((follower.partial_answer or ("", ""))[1]) == run_follow.MAX_ANSWER_CHARACTERS


@pytest.mark.parametrize("width", [24, 60, 160])
async def test_a_long_answer_fits_on_the_terminal_and_is_shown_only_while_a_model_answers(
    server: FakeServer, width: int
) -> None:
    target = ApiTarget(url=server.url, key=None, profile="operator")
    async with RunFollower(target, "r") as follower:
        follower.run = a_run()
        follower.steps = [*(a_step(number) for number in range(30)), a_step(31, "running", kind="model", name="desk")]
        follower._add_delta(a_delta("界 \x1b[31m" * 900 + "the end", agent="a_rather_long_name_of_an_agent"))
        console = Console(file=io.StringIO(), width=width, height=20, force_terminal=True, color_system=None)
        console.print(screen(follower, console))
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert len(shown.splitlines()) <= 20
        assert "the end" in " ".join(shown.split())
        assert "\x1b[31m" not in shown
        follower.steps = follower.steps[:-1]
        console = Console(file=io.StringIO(), width=width, height=20, force_terminal=True, color_system=None)
        console.print(screen(follower, console))
        assert "the end" not in console.file.getvalue()  # type: ignore[attr-defined]
