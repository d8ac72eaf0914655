"""`run result` and `run start --wait`: the exit code shows the outcome, every wait ends, and the run continues."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agentgrid.cli import results
from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli, FakeServer, Reply, problem

RESULT = "GET /runs/r/result"
START = "POST /workflows/w/runs"
RUNS = {"items": [], "next_cursor": None}


def ended(status: str = "completed", **over: Any) -> Reply:
    error = {"type": "ToolError", "message": "no \x1b[31m", "cause": None}
    body = {
        "run_id": "r",
        "workflow": "w",
        "open": False,
        "status": status,
        "closed_at": "2026-01-31T09:00:12Z",
        "payloads_visible": True,
        "result": {"size": 2, "value": {"answer": 42}} if status == "completed" else None,
        "error_type": None if status == "completed" else "ToolError",
        "error": None if status == "completed" else error,
    }
    return Reply(body=body | over)


def still_open(status: int = 202) -> Reply:
    body = {"run_id": "r", "workflow": "w", "open": True, "status": "waiting", "waiting_on": "approval"}
    return Reply(status=status, body=body | {"approvals_pending": 1})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "PAUSE_SECONDS", 0.01)


def waits(server: FakeServer) -> list[str]:
    return [parse_qs(urlsplit(seen.path).query).get("wait", [""])[0] for seen in server.seen if "result" in seen.path]


@pytest.mark.parametrize(
    ("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 1), ("terminated", 1), ("timed_out", 1)]
)
def test_the_exit_code_shows_the_outcome(cli: Cli, server: FakeServer, status: str, code: int) -> None:
    server.on(RESULT, ended(status))
    printed = cli("run", "result", "r")
    assert (printed.code, status in printed.out, "\x1b" in printed.out) == (code, True, False)
    assert ("42" in printed.out, "ToolError" in printed.out) == (status == "completed", status != "completed")
    assert waits(server) == [""]


def test_a_run_without_a_result_is_distinguished(cli: Cli, server: FakeServer) -> None:
    server.on(RESULT, still_open())
    printed = cli("run", "result", "r")
    assert (printed.code, "no result yet; it waits on approval" in printed.out) == (ExitCode.UNAVAILABLE, True)
    printed = cli("run", "result", "r", "-o", "json")
    assert (printed.code, printed.json()["open"]) == (ExitCode.UNAVAILABLE, True)


def test_a_start_that_waits_prints_only_the_result(cli: Cli, server: FakeServer) -> None:
    server.on(START, Reply(status=201, body={"run_id": "r"}))
    server.on(RESULT, still_open(), problem(503, "unavailable"), problem(429, "rate_limited"), still_open(), ended())
    printed = cli("run", "start", "w", "--wait", "-o", "json")
    assert (printed.code, printed.json()["result"]["value"]) == (0, {"answer": 42})
    assert waits(server) == 5 * ["50.0"]
    assert [seen.method for seen in server.seen].count("POST") == 1


def test_a_timeout_ends_the_wait_but_not_the_run(cli: Cli, server: FakeServer) -> None:
    server.on(RESULT, still_open())
    printed = cli("run", "result", "r", "--wait", "--timeout", "0.2")
    assert (printed.code, "no result yet" in printed.out) == (ExitCode.UNAVAILABLE, True)
    assert {seen.method for seen in server.seen} == {"GET"}
    assert 0 < float(waits(server)[0]) <= 0.2
    assert cli("run", "result", "r", "--wait", "--timeout", "0").code == ExitCode.UNAVAILABLE


def test_waiting_gives_up_on_an_api_that_stays_unavailable(
    cli: Cli, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "GIVE_UP_SECONDS", 0.1)
    server.on(RESULT, problem(503, "unavailable"))
    printed = cli("run", "result", "r", "--wait")
    assert (printed.code, "the run is unaffected" in printed.err) == (ExitCode.UNAVAILABLE, True)


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (404, 3)])
def test_losing_access_ends_the_wait(cli: Cli, server: FakeServer, status: int, code: int) -> None:
    server.on(RESULT, still_open(), problem(status, "no"))
    assert cli("run", "result", "r", "--wait").code == code


@pytest.fixture
def held() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("output", ["table", "json"])
def test_ctrl_c_says_that_the_run_continues_and_how_to_wait_again(
    cli: Cli, server: FakeServer, held: threading.Event, output: str
) -> None:
    def act(handler: BaseHTTPRequestHandler) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        held.wait(20)
        handler.close_connection = True

    server.on(START, Reply(status=201, body={"run_id": "r"}))
    server.on(RESULT, Reply(act=act))
    printed = cli("run", "start", "w", "--wait", "-o", output)
    assert printed.code == ExitCode.INTERRUPTED
    message = json.loads(printed.err)["detail"] if output == "json" else printed.err
    assert "stopped waiting; run r continues" in message
    assert "run result r --wait" in message
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_conflicting_options_start_nothing(cli: Cli, server: FakeServer) -> None:
    for options in (("--wait", "--watch"), ("--timeout", "3")):
        assert cli("run", "start", "w", *options).code == ExitCode.USAGE
    assert cli("run", "result", "r", "--timeout", "3").code == ExitCode.USAGE
    assert server.seen == []


def outcome(number: int, refused: bool = False) -> dict[str, Any]:
    why = {
        "code": "invalid_input",
        "detail": "does not fit",
        "faults": [{"pointer": "/items/1/input", "message": "no"}],
    }
    return {
        "outcome": "refused" if refused else "started",
        "workflow": "w",
        "run_id": None if refused else f"r-{number}",
        "status": None if refused else "queued",
        "command_id": "c",
        "problem": why if refused else None,
    }


def test_each_line_of_a_file_is_started_and_its_outcome_reported(cli: Cli, server: FakeServer) -> None:
    lines = b'{"workflow": "w", "input": 1}\n\n{"workflow": "w", "input": 2}\n'
    results = {"started": 1, "replayed": 0, "refused": 1, "items": [outcome(1), outcome(2, refused=True)]}
    server.on("POST /runs/bulk", Reply(body=results))
    printed = cli("run", "start-many", "-", "--idempotency-key", "k", stdin=lines)
    assert printed.code == ExitCode.FAILED
    assert "r-1" in printed.out
    line, why = printed.out.splitlines()[2:4]
    assert line.split()[:2] == ["3", "refused"], "the line number in the file, whose second line is empty"
    assert why.strip() == "does not fit; /input no"
    assert "1 started, 0 started before, 1 refused" in printed.out
    (seen,) = server.seen
    assert json.loads(seen.body) == {"items": [{"workflow": "w", "input": 1}, {"workflow": "w", "input": 2}]}
    assert seen.headers["Idempotency-Key"] == "k"
    server.on("POST /runs/bulk", Reply(body={"started": 1, "replayed": 0, "refused": 0, "items": [outcome(1)]}))
    assert cli("run", "start-many", "-", stdin=b'{"workflow": "w"}').code == ExitCode.OK


def test_a_line_that_is_not_json_is_reported_and_nothing_is_sent(cli: Cli, server: FakeServer) -> None:
    printed = cli("run", "start-many", "-", stdin=b'{"workflow": "w"}\n{"workflow": \n')
    assert (printed.code, "line 2 is not JSON" in printed.err) == (ExitCode.USAGE, True)
    assert cli("run", "start-many", "-", stdin=b"\n").code == ExitCode.USAGE
    assert cli("run", "start-many", "no-such-file").code == ExitCode.USAGE
    assert server.seen == []
