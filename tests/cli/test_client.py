"""Every call ends, with an exit code that shows how and a report of what was and wasn't sent."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from agentgrid.cli import client as cli_client
from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import KEY, Cli, FakeServer, Reply, problem

RUNS = Reply(body={"items": [], "next_cursor": None})
START = "POST /workflows/greet/runs"


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def stall(handler: BaseHTTPRequestHandler) -> None:
    handler.server.stalled.wait(20)  # type: ignore[attr-defined]
    handler.close_connection = True


def send_byte_by_byte(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(1000):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.05)


@pytest.fixture
def stalled(server: FakeServer) -> threading.Event:
    server._server.stalled = threading.Event()  # type: ignore[attr-defined]
    return server._server.stalled  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_client, "TOTAL_SECONDS", 0.5)


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (problem(400, "invalid_input"), 1),
        (problem(401, "unauthenticated"), 4),
        (problem(403, "forbidden"), 4),
        (problem(404, "not_found"), 3),
        (problem(409, "conflict", current_status="completed"), 1),
        (problem(413, "payload_too_large"), 1),
        (problem(422, "invalid_input"), 1),
        (problem(429, "rate_limited"), 5),
        (problem(500, "internal"), 5),
        (problem(503, "unavailable"), 5),
        (Reply(status=404, body=b"<html>nginx</html>"), 1),
        (Reply(status=502, body=b"<html>bad gateway</html>"), 5),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}), 1),
        (Reply(body=b"<html>hello</html>"), 5),
        (Reply(body=[]), 1),
        (Reply(body={"items": [{"unexpected": 1}], "next_cursor": None}), 1),
    ],
)
def test_exit_codes_are_pinned(cli: Cli, server: FakeServer, refusal: Reply, code: int) -> None:
    server.on("GET /runs", refusal)
    ended = cli("run", "list")
    assert ended.code == code
    assert ended.err.startswith("agentgrid: ")
    assert "Traceback" not in ended.err


def test_each_fault_of_a_refused_input_is_listed(cli: Cli, server: FakeServer) -> None:
    faults = [{"pointer": "/input/name", "message": "is \x1b[31mrequired"}]
    server.on(START, problem(422, "invalid_input", "the input does not fit", faults=faults))
    ended = cli("run", "start", "greet")
    assert "/input/name: is \\x1b[31mrequired" in ended.err


def test_json_output_of_a_refusal_is_the_problem_document(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", problem(403, "forbidden", "you may not"))
    ended = cli("run", "list", "-o", "json")
    assert ended.code == ExitCode.NOT_ALLOWED
    assert json.loads(ended.err)["code"] == "forbidden"
    assert ended.out == ""


def test_json_output_of_a_local_error_is_json_too(cli: Cli) -> None:
    assert json.loads(cli("run", "list", "-o", "json").err)["code"] == "settings_error"


def test_json_is_exactly_what_the_api_sent(cli: Cli, server: FakeServer) -> None:
    body = b'{"items" :[], "next_cursor":null, "big":123456789012345678901234567890, "f":1.10}'
    server.on("GET /runs", Reply(body=body))
    assert cli("run", "list", "-o", "json").out == body.decode() + "\n"


def test_each_start_has_its_own_idempotency_key(cli: Cli, server: FakeServer) -> None:
    server.on(START, problem(409, "conflict"))
    cli("run", "start", "greet")
    cli("run", "start", "greet")
    first, second = (seen.headers["Idempotency-Key"] for seen in server.seen)
    assert len(first) > 30
    assert first != second


def test_a_start_whose_connection_breaks_is_retried_with_the_same_idempotency_key(cli: Cli, server: FakeServer) -> None:
    server.on(START, Reply(act=hang_up), problem(409, "conflict"))
    assert cli("run", "start", "greet", "--input", '{"a": 1}').code == ExitCode.FAILED
    first, second = server.seen
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


def test_a_connection_that_breaks_twice_leaves_the_outcome_unknown(cli: Cli, server: FakeServer) -> None:
    server.on("POST /runs/r/cancel", Reply(act=hang_up))
    ended = cli("run", "cancel", "r")
    assert ended.code == ExitCode.UNAVAILABLE
    assert "it is not known whether the cancellation of run r was carried out" in ended.err
    assert len({seen.headers["Idempotency-Key"] for seen in server.seen}) == 1
    assert len(server.seen) == 2


def test_a_start_with_an_unknown_outcome_says_how_to_repeat_it_safely(cli: Cli, server: FakeServer) -> None:
    server.on(START, Reply(act=hang_up))
    ended = cli("run", "start", "greet")
    assert f"--idempotency-key {server.seen[0].headers['Idempotency-Key']}" in ended.err


@pytest.mark.usefixtures("short_timeout")
def test_a_server_that_never_answers_times_out(cli: Cli, server: FakeServer, stalled: threading.Event) -> None:
    server.on("POST /runs/r/cancel", Reply(act=stall))
    began = time.monotonic()
    ended = cli("run", "cancel", "r")
    stalled.set()
    assert time.monotonic() - began < 3
    assert ended.code == ExitCode.UNAVAILABLE
    assert "The request was sent" in ended.err


@pytest.mark.usefixtures("short_timeout")
def test_a_server_that_sends_byte_by_byte_times_out(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", Reply(act=send_byte_by_byte))
    began = time.monotonic()
    assert cli("run", "list").code == ExitCode.UNAVAILABLE
    assert time.monotonic() - began < 3


def test_a_server_that_is_down_is_reported_at_once(cli: Cli, server: FakeServer) -> None:
    server.close()
    began = time.monotonic()
    ended = cli("run", "cancel", "r")
    assert ended.code == ExitCode.UNAVAILABLE
    assert "Nothing was sent" in ended.err
    assert time.monotonic() - began < 3


def test_ctrl_c_during_a_request_reports_that_it_was_sent(
    cli: Cli, server: FakeServer, stalled: threading.Event
) -> None:
    def interrupt(handler: BaseHTTPRequestHandler) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        stall(handler)

    server.on("POST /runs/r/cancel", Reply(act=interrupt))
    ended = cli("run", "cancel", "r")
    stalled.set()
    assert ended.code == ExitCode.INTERRUPTED
    assert "interrupted. The request was sent" in ended.err


def test_the_api_key_is_not_sent_to_a_redirect_target(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", Reply(status=307, headers={"Location": f"{server.url}/elsewhere"}))
    ended = cli("run", "list")
    assert [seen.path.split("?")[0] for seen in server.seen] == ["/api/v1/runs"]
    assert KEY not in ended.out + ended.err


def test_identifiers_stay_one_path_segment(cli: Cli, server: FakeServer) -> None:
    for identifier in ("../../healthz", "a/b", "a?b=1", "a#b", "é\u202e", "%2e%2e", "*", "~", "a\nb"):
        assert cli("run", "get", identifier).code == ExitCode.NOT_FOUND
    for seen in server.seen:
        if seen.path.startswith("/api/v1/runs?"):  # the search for a run by part of its id
            continue
        assert seen.path.startswith("/api/v1/runs/")
        assert seen.path.count("/") == 4
        assert "?" not in seen.path


def test_control_characters_are_escaped(cli: Cli, server: FakeServer) -> None:
    server.on("GET /runs", problem(409, "conflict", "\x1b]0;owned\x07 \u202egpj"))
    ended = cli("run", "list")
    assert "\x1b" not in ended.err
    assert "\u202e" not in ended.err


def test_only_https_loads_the_root_certificates() -> None:
    plain = cli_client.verification("http://127.0.0.1:8700")
    assert isinstance(plain, ssl.SSLContext)
    assert not plain.get_ca_certs()
    assert plain.verify_mode is ssl.CERT_REQUIRED  # no certificate is accepted unverified
    assert cli_client.verification("https://agentgrid.example") is True
