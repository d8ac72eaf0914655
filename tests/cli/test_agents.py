"""Agents on the command line: edits within what the code allows, reverting in one command, and usage."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from agentgrid.cli import agent_edit
from agentgrid.cli.exits import CommandFailed, ExitCode
from agentgrid.cli.run_view import step_table
from tests.api import factories
from tests.api.conftest import Api, api, listening
from tests.cli.conftest import Cli, Ended
from tests.cli.terminal import Screen

__all__ = ["api"]

Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
async def operator(api: Api, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Runs a command as the operator, in another thread: the server runs in this one."""
    async with listening(api.app) as url:
        monkeypatch.setenv("AGENTGRID_API_URL", url)
        monkeypatch.setenv("AGENTGRID_API_KEY", api.tokens["operator"])

        async def run(*arguments: str, code: int = ExitCode.OK) -> Ended:
            ended = await asyncio.to_thread(cli, *arguments)
            assert ended.code == code, ended.err
            return ended

        yield run


async def test_an_agent_is_edited_with_options_shown_and_reverted(api: Api, operator: Run, tmp_path: Path) -> None:
    await factories.insert(
        api.plane.engine, *factories.agent("desk"), factories.tool("refund_order", risk="destructive")
    )
    text = tmp_path / "instructions.md"
    text.write_text("Look up the order.\nNever refund.")
    options = ["--instructions", str(text), "--tool", "get_order", "--budget-usd", "0.25", "--note", "too many refunds"]

    edited = await operator("agent", "edit", "desk", *options, "--yes")

    assert "desk uses edit-1 for new calls" in edited.out
    assert "+Never refund." in edited.out
    assert "-get_order, refund_order" in edited.err
    assert "-usd 1.0" in edited.out
    shown = (await operator("agent", "show", "desk")).out
    for text in (
        "edit-1, from an operator",
        "too many refunds",
        "$0.25, 12 requests, 50 tool calls",
        "require_approval",
    ):
        assert text in shown
    assert "edit-1" in (await operator("agent", "list")).out
    back = await operator("agent", "use", "desk", "code", "--note", "better before")
    assert "desk uses 0123456789ab" in back.out
    listed = (await operator("agent", "versions", "desk")).out
    assert "too many refunds" in listed
    assert "no usage in this period" in (await operator("agent", "usage", "desk")).out


async def test_an_edit_that_the_code_does_not_allow_is_refused_with_the_reason(api: Api, operator: Run) -> None:
    await factories.insert(api.plane.engine, *factories.agent("bounded"))
    refused = await operator(
        "agent", "edit", "bounded", "--tool", "delete_customer", "--model", "evil:x", "--yes", code=ExitCode.FAILED
    )
    assert "/tools/0: the code has no tool 'delete_customer'" in refused.err
    assert "/models/0: 'evil:x' is not a known model" in refused.err
    same = await operator("agent", "edit", "bounded", "--budget-usd", "1", "--yes", code=ExitCode.FAILED)
    assert "identical to the one in use" in same.err
    unconfirmed = await operator("agent", "edit", "bounded", code=ExitCode.USAGE)
    assert "no terminal for an editor" in unconfirmed.err
    mistyped = await operator("agent", "show", "bounde", code=ExitCode.NOT_FOUND)
    assert "did you mean bounded?" in mistyped.err


DOCUMENT = {
    "models": ["openai:gpt-5"],
    "instructions": "One.\nTwo.",
    "tools": ["get_order"],
    "limits": {"requests": 5, "tool_calls": None, "tokens": None, "usd": None, "seconds": None, "soft": None},
    "output_schema": None,
}


def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """An editor that runs this code, with the document as `value` and its path as `path`."""
    script = tmp_path / "editor.py"
    script.write_text(f"import json, sys\npath = sys.argv[1]\nvalue = json.load(open(path))\n{code}\n")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.setattr(sys, "stdin", Screen())
    monkeypatch.setattr(sys, "stdout", Screen())


def test_the_editor_has_one_line_for_each_line_of_the_instructions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    change = "value['instructions'][1] = 'Three.'\nvalue['limits']['usd'] = 0.5\njson.dump(value, open(path, 'w'))"
    editor(monkeypatch, tmp_path, f"import os\nos.utime(path, (0, 0))\n{change}")
    edited = agent_edit._edited(DOCUMENT)
    assert (edited["instructions"], edited["limits"]["usd"]) == ("One.\nThree.", 0.5)
    editor(monkeypatch, tmp_path, "sys.exit(1)")
    with pytest.raises(CommandFailed, match="Set EDITOR"):
        agent_edit._edited(DOCUMENT)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "JSON objects"),
        ('{"timeout": 5}', "timeout can't be edited"),
        ('{"limits": {"euros": 5}}', "euros can't be edited"),
        ('{"instructions": 5}', "a list of lines"),
        ("{", "Expecting"),
    ],
)
def test_an_invalid_document_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        agent_edit._read(text)


def step(event_id: int, kind: str, name: str, usage: dict[str, Any] | None = None, **over: Any) -> dict[str, Any]:
    at = "2026-01-01T00:00:00Z"
    sums = None if usage is None else {"input_tokens": 0, "output_tokens": 0, "usd": None, "unpriced": 0, **usage}
    values: dict[str, Any] = dict.fromkeys(
        ("title", "live_state", "live_error", "live_attempt", "live_next_retry_at", "due_at", "error", "closed_at")
    )
    return {
        **values,
        "execution_id": "e",
        "event_id": event_id,
        "parent": None,
        "kind": kind,
        "name": name,
        "status": "running",
        "scheduled_at": at,
        "started_at": at,
        "attempts": 1,
        "inherited": False,
        "usage": sums,
        **over,
    }


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_run_shows_the_tree_of_its_agent_with_tokens_price_and_latency(width: int) -> None:
    turn = {"requests": 1, "input_tokens": 1200, "output_tokens": 34, "latency_ms": 850}
    steps = [
        step(3, "agent", "desk", {"requests": 3, "input_tokens": 3600, "usd": 0.0125, "unpriced": 1}, version="edit-2"),
        step(5, "model", "desk", {**turn, "model": "gpt-5", "usd": 0.0125}, parent=3),
        step(8, "tool", "get_order", parent=3),
        step(11, "model", "desk", {**turn, "model": "strange", "unpriced": 1}, parent=3),
        step(14, "model", "desk", {**turn, "model": "offline model", "usd": 0.0}, parent=3),
    ]
    console = Console(width=width, height=40, color_system=None)
    with console.capture() as captured:
        console.print(step_table(steps))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert len(lines) == len(steps)
    assert max(map(cell_len, lines)) <= width
    assert [line.index("desk") > lines[0].index("desk") for line in (lines[1], lines[3])] == [True, True]
    if width == 160:
        assert "$0.0125 + 1 unpriced  version edit-2  3 requests  3,600 in, 0 out" in lines[0]
        assert "gpt-5  $0.0125  1,200 in, 34 out  answered in 0.8s" in lines[1]
        assert "strange  unpriced  1,200 in, 34 out" in lines[3]
    assert "$0.0125" in lines[0]
    # At every width it shows that no provider was called.
    assert "offline model" in lines[4]
