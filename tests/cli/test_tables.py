"""Tables fit the terminal: one line per row at every width, no wrapped cells, and everything in full in a pipe."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from agentgrid.cli import words
from agentgrid.cli.output import PIPED_WIDTH
from agentgrid.cli.tables import ELLIPSIS, TextTable, fixed, ids, short_ids, text, time
from agentgrid.domain.ids import new_id
from tests.cli.conftest import Cli, FakeServer, Reply
from tests.cli.terminal import on_terminal

AGO = {0: "0s ago", 59: "59s ago", 3599: "59m ago", 7300: "2h ago", 200_000: "2d ago", -14_395: "in 3h 59m"}
WIDTHS = (40, 60, 80, 120, 160)
RUNS = [new_id() for _ in range(6)]


def run(number: int, **over: Any) -> dict[str, Any]:
    started = (datetime.now(UTC) - timedelta(minutes=7 * number)).isoformat()
    return {
        "run_id": RUNS[number],
        "workflow_id": RUNS[number],
        "workflow": "check_link_nine_items",
        "status": "waiting",
        "waiting_on": "approval",
        "status_reason": None,
        "error_type": None,
        "current_step": None,
        "subject": None,
        "created_at": started,
        "started_at": started,
        "closed_at": None,
        "steps_done": 3,
        "step_count": 10,
        "initiator": "operator",
        "reference": "INV-2026-0042",
    } | over


def rendered(listing: TextTable, width: int) -> list[str]:
    console = Console(width=width, height=40, color_system=None)
    with console.capture() as captured:
        console.print(listing)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_takes_one_line_at_every_width(monkeypatch: pytest.MonkeyPatch, server: FakeServer, width: int) -> None:
    server.on("GET /runs", Reply(body={"items": [run(n) for n in range(6)], "next_cursor": None}))
    lines = on_terminal(monkeypatch, width, ["run", "list"])
    assert len(lines) == 7
    assert max(map(cell_len, lines)) <= width
    for line, run_id in zip(lines[1:], RUNS, strict=True):
        shown = line.split()[0]
        assert run_id == shown if width == 160 else run_id.endswith(shown)
        assert "◆ waiting · approval" in line or width == 40


def test_runs_that_wait_for_approval_show_its_title(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    asks = [run(n, current_step=f"Refund 48.00 USD on T-{n}") for n in range(2)]
    works = run(2, status="running", waiting_on=None, current_step="Look up the order")
    server.on("GET /runs", Reply(body={"items": [*asks, works], "next_cursor": None}))
    lines = on_terminal(monkeypatch, 140, ["run", "list"])
    assert [f"Refund 48.00 USD on T-{n}" in lines[1 + n] for n in range(2)] == [True, True], lines
    assert "Look up" not in lines[3]


def test_subjects_are_shown_on_a_narrow_terminal_too(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    """At 60 columns the start time was once shown instead of the subject."""
    over = {"workflow": "support_triage", "status": "completed", "waiting_on": None}
    about = [run(n, **over, subject=f"Ticket T-100{n}, by mail") for n in range(2)]
    server.on("GET /runs", Reply(body={"items": about, "next_cursor": None}))
    for width in (60, 80, 160):
        lines = on_terminal(monkeypatch, width, ["run", "list"])
        assert [f"Ticket T-100{n}" in lines[1 + n] for n in range(2)] == [True, True], lines


def test_the_least_important_columns_are_dropped_first(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    server.on("GET /runs", Reply(body={"items": [run(n) for n in range(6)], "next_cursor": None}))
    headings = {width: on_terminal(monkeypatch, width, ["run", "list"])[0].split() for width in (60, 80, 160)}
    assert headings[60] == ["RUN", "WORKFLOW", "STATUS", "STARTED"]
    assert headings[80] == ["RUN", "WORKFLOW", "STATUS", "STEPS", "STARTED", "BY"]
    assert headings[160] == ["RUN", "WORKFLOW", "STATUS", "STEPS", "STARTED", "TOOK", "BY", "REFERENCE"]


def test_nothing_is_shortened_in_a_pipe(cli: Cli, server: FakeServer) -> None:
    long = run(0, workflow="w" * 255, reference="r" * 200, initiator="i" * 100)
    server.on("GET /runs", Reply(body={"items": [long], "next_cursor": None}))
    _, line = cli("run", "list").out.splitlines()
    for value in (RUNS[0], "w" * 255, "r" * 200, "i" * 100):
        assert value in line
    assert "UTC" in line, "an absolute time"
    assert ELLIPSIS not in line
    assert cli("run", "list", "-o", "json").json()["items"] == [json.loads(json.dumps(long))]


def test_long_texts_end_in_an_ellipsis_and_wide_characters_keep_the_columns_aligned() -> None:
    table = TextTable(
        (text("NAME", least=12), fixed("STATUS")), [("日本" * 20, "ok"), ("a" * 60, "ok"), ("short", "ok")]
    )
    lines = rendered(table, 30)
    assert [cell_len(line) for line in lines[1:]] == [22 + 2 + len("ok")] * 3
    assert ELLIPSIS in lines[1]
    assert ELLIPSIS in lines[2]
    assert ELLIPSIS not in lines[3]


def test_an_empty_column_is_dropped_on_a_terminal_and_kept_in_a_pipe() -> None:
    table = TextTable((ids("RUN"), time("ENDED", 1), text("NOTE", 2)), [(RUNS[0], None, "")])
    assert rendered(table, 80)[0].split() == ["RUN"]
    assert rendered(table, PIPED_WIDTH)[0].split() == ["RUN", "ENDED", "NOTE"]


def test_short_ids_are_unique_within_a_list() -> None:
    alike = ["0199aaaa-0000-7000-8000-00a111111111", "0199aaaa-0000-7000-8000-00b111111111"]
    assert short_ids(alike) == ["a111111111", "b111111111"]
    assert short_ids([RUNS[0]]) == [RUNS[0][-8:]]
    assert short_ids(["order-4711", "order-" + "7" * 30]) == ["order-4711", "order-7777…777777777"]


def test_the_past_is_shown_in_one_unit_and_the_future_in_two() -> None:
    now = datetime(2026, 1, 31, 9, tzinfo=UTC)
    shown = {seconds: words.short_ago((now - timedelta(seconds=seconds)).isoformat(), now).plain for seconds in AGO}
    assert shown == AGO


def test_an_empty_list_prints_no_table(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    server.on("GET /runs", Reply(body={"items": [], "next_cursor": None}))
    assert on_terminal(monkeypatch, 80, ["run", "list"]) == []
