"""Changing a call's arguments from the command line: given, edited, or taken from a proposal; and how the difference is shown."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentgrid.cli.exits import ExitCode
from agentgrid.cli.readable import Difference
from tests.cli.conftest import KEY, Cli, FakeServer, Reply
from tests.cli.test_ends import APPROVAL, DECISION, DETAIL

ORIGINAL = {"order": "o-1", "cents": 900}
CHANGED = {"order": "o-1", "cents": 500}
PROPOSED = {
    "command_id": "01a2-proposal",
    "principal": "second",
    "digest": "e" * 64,
    "arguments": CHANGED,
    "comment": None,
}
SHOWN = APPROVAL | {
    "payload": {"size": 9, "value": ORIGINAL},
    "changes": "second_person",
    "proposals": [PROPOSED | {"created_at": "2026-01-01T00:00:00Z"}],
}
COMMAND = {"command_id": "c", "kind": "approval.decide", "status": "delivered"}


@pytest.fixture
def deciding(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setenv("AGENTGRID_API_URL", server.url)
    monkeypatch.setenv("AGENTGRID_API_KEY", KEY)
    server.on(DETAIL, Reply(body=SHOWN))
    server.on(DECISION, Reply(status=202, body=SHOWN | {"command": COMMAND}))
    return server


def sent(server: FakeServer) -> list[Any]:
    return [json.loads(seen.body) for seen in server.seen if seen.method == "POST"]


def editor(tmp_path: Path, script: str) -> str:
    file = tmp_path / "edit.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    return str(file)


@pytest.mark.parametrize("how", ["json", "file", "stdin", "edit", "proposed"])
def test_changed_arguments_are_shown_as_a_difference_and_sent(
    how: str, cli: Cli, deciding: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "given.json"
    file.write_text(json.dumps(CHANGED))
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'sed -i "s/900/500/" "$1"'))
    options = {
        "json": ("--arguments", json.dumps(CHANGED)),
        "file": ("--arguments", f"@{file}"),
        "stdin": ("--arguments", "-"),
        "edit": ("--edit",),
        "proposed": ("--proposed", "01a2"),
    }[how]
    ended = cli("approval", "approve", "a", "--yes", "-c", "half", *options, stdin=json.dumps(CHANGED).encode())
    assert ended.code == ExitCode.OK, ended.err
    assert "- " in ended.err
    assert '"cents": 900' in ended.err
    assert "+ " in ended.err
    assert '"cents": 500' in ended.err
    assert sent(deciding) == [
        {"verdict": "approved", "digest": APPROVAL["digest"], "comment": "half", "arguments": CHANGED}
    ]


@pytest.mark.parametrize(
    ("options", "script", "words"),
    [
        (("--edit",), "true", "unchanged"),
        (("--edit",), "false", "exited with status 1"),
        (("--edit",), 'echo "{" > "$1"', "is not JSON"),
        (("--edit",), ': > "$1"', "empty"),
        (("--arguments", json.dumps(ORIGINAL)), "", "unchanged"),
        (("--arguments", "[1]"), "", "JSON object"),
        (("--arguments", "{}", "--edit"), "", "one of"),
        (("--proposed", "ffff"), "", "no proposal"),
    ],
)
def test_an_empty_or_invalid_change_is_not_sent(
    options: tuple[str, ...],
    script: str,
    words: str,
    cli: Cli,
    deciding: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, script))
    ended = cli("approval", "approve", "a", "--yes", *options)
    assert ended.code != ExitCode.OK
    assert words in ended.err
    assert sent(deciding) == []


def test_an_approval_shows_its_change_who_made_it_and_what_was_refused(cli: Cli, deciding: FakeServer) -> None:
    changed = {
        "status": "approved",
        "changed": {"size": 9, "value": CHANGED},
        "changed_digest": "f" * 64,
        "decided_by": "reviewer",
        "proposed_by": "second",
        "comment": "half",
        "change_refused": "pay_back: at most 1,000 cents",
    }
    deciding.on(DETAIL, Reply(body=SHOWN | changed))
    shown = cli("approval", "show", "a").out
    for words in (
        "as the run requested them",
        "Approved with this change",
        "f" * 64,
        "second",
        "half",
        "at most 1,000 cents",
    ):
        assert words in shown
    assert "Proposed by second, command 01a2-proposal" in shown


def lines(old: Any, new: Any, width: int = 40) -> list[str]:
    printed = io.StringIO()
    Console(file=printed, width=width).print(Difference(old, new))
    return printed.getvalue().splitlines()


def test_a_difference_compares_texts_line_by_line_and_ignores_key_order() -> None:
    old, new = {"to": "x", "body": "Dear A\nold\nBye"}, {"body": "Dear A\nnew\nBye", "to": "x"}
    diff = lines(old, new)
    assert [line for line in diff if line[0] in "+-"] == ["-     │ old", "+     │ new"]


@pytest.mark.parametrize("width", [30, 80])
def test_no_content_can_imitate_a_line_of_the_difference(width: int) -> None:
    diff = lines({"body": "a"}, {"body": "b\n+ c" + " " * 60 + "- d\x1b[2K"}, width)
    assert all(line.startswith(("  ", "- ", "+ ")) for line in diff)
    assert not any("- d" in line and line.startswith("- ") for line in diff)
    assert "\x1b" not in "".join(diff)
