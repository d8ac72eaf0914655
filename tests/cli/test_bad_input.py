"""Typical mistakes on the command line: each is refused before anything is sent, with its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentgrid.cli.exits import ExitCode
from agentgrid.cli.inputs import MAX_INPUT_BYTES
from tests.cli.conftest import Cli, FakeServer, problem

START = ("run", "start", "greet")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("run", "nonsense"),
        ("run", "list", "--nonsense"),
        ("run", "list", "--limit", "0"),
        ("run", "list", "--limit", "201"),
        ("run", "list", "--limit", "many"),
        ("run", "list", "-o", "xml"),
        ("run", "get"),
        ("run", "get", ""),
        ("run", "get", "."),
        ("run", "get", ".."),
        ("run", "get", "one", "two"),
        ("run", "list", "--started-after", "yesterday"),
        ("run", "list", "--started-after", "2030-01-31T09:00:00"),
        (*START, "--input", ""),
        (*START, "--input", "{"),
        (*START, "--input", "{'a': 1}"),
        (*START, "--input", "NaN"),
        (*START, "--input", "[Infinity]"),
        (*START, "--input", "1 2"),
        (*START, "--input", "[" * 100_000),
        (*START, "--input", "@missing.json"),
        (*START, "--input", "@"),
        (*START, "--input", "@."),
        (*START, "--input", "@a\0b"),
        (*START, "--input", "-"),
        (*START, "--priority", "0"),
        (*START, "--priority", "6"),
        (*START, "--start-at", "2030-13-01T00:00:00Z"),
        ("run", "signal", "r", "name", "--input", "{"),
        ("run", "terminate", "r"),
        ("run", "terminate", ""),
        ("tool", "policy", "t", "perhaps"),
        ("tool", "policy", "t", "deny", "--expires", "0"),
        ("policy", "put", "r", "t", "perhaps"),
        ("policy", "put", "r", "t", "deny", "--expires", "0"),
        ("policy", "put", "r", "t"),
        ("policy", "show", ".."),
        ("policy", "withdraw", ""),
        ("workflow", "disable", ""),
        ("tool", "enable", ".."),
        ("tool", "policy", "t", "allow", "--disable"),
        ("principal", "put", "p", "--role", "god"),
        ("principal", "put", "p", "--kind", "system"),
        ("principal", "disable", "", "--yes"),
        ("signing-key", "retire"),
        ("signing-key", "revoke", ".", "--yes"),
        ("worker", "nonsense"),
        ("worker",),
        ("db", "upgrade"),
        ("key", "list"),
        ("key", "create", "somebody", "--days", "0"),
        ("key", "create", "somebody", "--role", "god"),
        ("api", "--port", "0"),
        ("api",),
        ("projector",),
        ("dev",),
        ("dev", "--port", "99999"),
        ("check",),
        ("init", "Upper"),
        ("init", "../out"),
        ("init", "a b"),
        ("init", ""),
    ],
    ids=lambda arguments: " ".join(arguments)[:60].encode("unicode_escape").decode(),
)
def test_a_mistake_is_a_usage_error_and_nothing_is_sent(
    cli: Cli, server: FakeServer, arguments: tuple[str, ...]
) -> None:
    ended = cli(*arguments)
    assert ended.code == ExitCode.USAGE
    assert ended.err
    assert "Traceback" not in ended.err
    assert server.seen == []


def test_piped_input_over_the_limit_is_not_sent(cli: Cli, server: FakeServer) -> None:
    ended = cli(*START, "--input", "-", stdin=b'"' + b"a" * MAX_INPUT_BYTES + b'"')
    assert ended.code == ExitCode.USAGE
    assert server.seen == []


def test_piped_input_that_is_not_text_is_not_sent(cli: Cli, server: FakeServer) -> None:
    assert cli(*START, "--input", "-", stdin=b'{"a": "\xff"}').code == ExitCode.USAGE
    assert server.seen == []


@pytest.mark.parametrize("raw", [b'{"a":\r\n"b"}\r\n', b'\xef\xbb\xbf{"a": "b"}'])
def test_windows_line_endings_and_byte_order_marks_are_accepted(
    cli: Cli, server: FakeServer, tmp_path: Path, raw: bytes
) -> None:
    server.on("POST /workflows/greet/runs", problem(409, "conflict"))
    (tmp_path / "in.json").write_bytes(raw)
    cli(*START, "--input", "@in.json")
    cli(*START, "--input", "-", stdin=raw)
    assert [json.loads(seen.body)["input"] for seen in server.seen] == [{"a": "b"}] * 2


def test_odd_but_valid_json_arrives_unchanged(cli: Cli, server: FakeServer) -> None:
    server.on("POST /workflows/greet/runs", problem(409, "conflict"))
    values = ['"\\u0000"', '"\\ud800"', "123456789012345678901234567890", "null", '{"__proto__": 1}', "-0", '"日本"']
    for value in values:
        cli(*START, "--input", value)
    assert [json.loads(seen.body)["input"] for seen in server.seen] == [json.loads(value) for value in values]


def test_without_a_terminal_a_destructive_verb_needs_yes(cli: Cli, server: FakeServer) -> None:
    server.on("POST /runs/r/terminate", problem(409, "conflict", "the run has ended"))
    refused = cli("run", "terminate", "r")
    assert "--yes" in refused.err
    assert server.seen == []
    assert cli("run", "terminate", "r", "--yes").code == ExitCode.FAILED
    assert len(server.seen) == 1
