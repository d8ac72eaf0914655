"""`run signal`, `query`, `update` and `outcome`: what is sent, what is printed, and the exit codes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agentgrid.cli.exits import ExitCode
from tests.cli.conftest import Cli, FakeServer, Reply, problem

RUN = "01a223e9-0981-7545-aec5-557344920c46"
COMMAND = "01a223e9-0981-7545-aec5-aaaaaaaaaaaa"
UPDATE = f"POST /runs/{RUN}/updates/add"


def update_reply(stage: str, **over: Any) -> Reply:
    values = {"run_id": RUN, "command_id": COMMAND, "name": "add", "handler": "declared", "stage": stage}
    return Reply(body=values | {"command_status": "delivered", "result": None, "error": None} | over)


def test_arguments_are_json_in_order_and_input_takes_negative_numbers(cli: Cli, server: FakeServer) -> None:
    server.on(UPDATE, update_reply("completed", result={"size": 1, "value": {"sum": 7}}))
    ended = cli("run", "update", RUN, "add", '"x"', '{"a": [1]}', "--input=-1", "--reason", "why", "--wait", "2")
    assert ended.code == ExitCode.OK, ended.err
    assert '"sum": 7' in ended.out
    (seen,) = server.seen
    assert json.loads(seen.body) == {"arguments": ["x", {"a": [1]}, -1], "reason": "why"}
    assert parse_qs(urlsplit(seen.path).query) == {"wait": ["2.0"]}
    assert seen.headers["Idempotency-Key"]
    wrong = cli("run", "update", RUN, "add", "x")
    assert (wrong.code, len(server.seen)) == (ExitCode.USAGE, 1)
    assert "ARGS is not JSON" in wrong.err


@pytest.mark.parametrize(
    ("reply", "wait", "code", "words"),
    [
        (update_reply("failed", error={"type": "E", "message": "broke"}), "1", ExitCode.FAILED, "broke"),
        (update_reply("expired"), "1", ExitCode.FAILED, "expired"),
        (update_reply("accepted"), "1", ExitCode.UNAVAILABLE, f"run outcome {RUN} {COMMAND}"),
        (update_reply("accepted"), "0", ExitCode.OK, "accepted"),
        (update_reply("pending"), "0", ExitCode.UNAVAILABLE, "pending"),
        (problem(409, "update_rejected", "-1 is negative"), "1", ExitCode.FAILED, "-1 is negative"),
        (problem(422, "invalid_input", "did you mean 'add'?"), "1", ExitCode.FAILED, "did you mean 'add'?"),
        (problem(504, "unavailable", "offered again", outcome_unknown=True), "1", ExitCode.UNAVAILABLE, "offered"),
    ],
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_an_updates_exit_code_shows_its_outcome(
    cli: Cli, server: FakeServer, reply: Reply, wait: str, code: ExitCode, words: str, output: str
) -> None:
    server.on(UPDATE, reply)
    ended = cli("run", "update", RUN, "add", "1", "--wait", wait, "-o", output)
    assert ended.code == code
    assert words in ended.out + ended.err
    if output == "json" and reply.status == 200:
        assert ended.json()["stage"] == reply.body["stage"]


def test_waiting_for_an_update_resumes_with_its_command_id(cli: Cli, server: FakeServer) -> None:
    server.on(
        f"GET /runs/{RUN}/updates/{COMMAND}", update_reply("accepted"), update_reply("completed", result={"value": 1})
    )
    assert cli("run", "outcome", RUN, COMMAND).code == ExitCode.UNAVAILABLE
    assert cli("run", "outcome", RUN, COMMAND).code == ExitCode.OK


def test_a_query_prints_the_answer_and_changes_nothing(cli: Cli, server: FakeServer) -> None:
    server.on(f"POST /runs/{RUN}/queries/total", Reply(body={"run_id": RUN, "name": "total", "result": {"value": [1]}}))
    ended = cli("run", "query", RUN, "total")
    assert (ended.code, json.loads(ended.out)) == (ExitCode.OK, [1])
    assert "Idempotency-Key" not in server.seen[0].headers
    server.on(f"POST /runs/{RUN}/queries/total", problem(503, "unavailable", "no worker polls"))
    down = cli("run", "query", RUN, "total")
    assert down.code == ExitCode.UNAVAILABLE
    assert "not known whether" not in down.err, "a query changes nothing, so nothing can be uncertain"


def test_workflow_show_lists_the_handlers_with_their_parameters(cli: Cli, server: FakeServer) -> None:
    hold = {
        "name": "hold",
        "description": "Hold it.\x1b[31m\nAnd more.",
        "input_schema": {"prefixItems": [{"title": "why"}, {"title": "days"}], "minItems": 1},
        "output_schema": None,
    }
    workflow = {
        "name": "w",
        "title": "W",
        "description": "",
        "tags": [],
        "version": "1",
        "task_queue": "q",
        "grid": "g",
        "registered_at": "2026-01-31T09:00:00Z",
        "served": True,
        "switch": {"disabled": False},
        "last_run": None,
        "input_schema": {},
        "output_schema": None,
        "handlers": {"signals": [hold], "queries": [], "updates": [], "dynamic": ["update"]},
        "versions": [],
        "stats": {"open": {}, "closed_24h": {}},
        "actions": [],
    }
    server.on("GET /workflows/w", Reply(body=workflow))
    ended = cli("workflow", "show", "w")
    assert ended.code == ExitCode.OK, ended.err
    assert "hold(why, days?)" in ended.out
    assert "Hold it.\\x1b[31m" in ended.out
    assert "And more" not in ended.out
    assert "any other name" in ended.out
    assert "Queries" not in ended.out
