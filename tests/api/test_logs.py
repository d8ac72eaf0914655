"""Logs: from the beginning, from the end, after a line, by level and step, and as a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.db.tables import Log, Run
from tests.api import factories
from tests.api.conftest import Api
from tests.api.test_timeline import run_with_approvals

BEGUN = datetime.now(UTC) - timedelta(minutes=5)
LEVELS = ("debug", "info", "notice", "warning", "error", "fatal")


def line(run: Run, number: int, **over: Any) -> Log:
    values: dict[str, Any] = {
        "logged_at": BEGUN + timedelta(seconds=number),
        "execution_id": run.execution_id,
        "workflow_id": run.workflow_id,
        "level": "info",
        "logger": "tools",
        "message": f"line {number}",
        "worker": "w1",
    }
    return Log(**{**values, **over})


@pytest.fixture(scope="module")
async def logged(api: Api) -> Run:
    """A run with a line of each level, and one that would act on a terminal."""
    run = factories.run(workflow="logged")
    lines = [line(run, number, level=level) for number, level in enumerate(LEVELS)]
    lines.append(line(run, 9, level="error", message="\x1b[2J\nforged line\u202e", fields={"order": "O-1", "n": [1]}))
    await factories.insert(api.plane.engine, run, factories.execution(run), *lines)
    return run


async def read_logs(client: Any, run: Run, **params: Any) -> dict[str, Any]:
    response = await client.get(f"/api/v1/runs/{run.run_id}/logs", params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def words(page: dict[str, Any]) -> list[str]:
    return [item["message"][-1] for item in page["items"]]


async def test_a_log_can_be_read_from_its_end_in_both_directions(as_: Any, logged: Run) -> None:
    end = await read_logs(as_("operator"), logged, tail=3)
    assert (words(end)[:2], end["more_before"], end["next_cursor"]) == (["4", "5"], True, None)
    first = end["items"][0]["log_id"]
    earlier = await read_logs(as_("operator"), logged, before=first, limit=3)
    assert (words(earlier), earlier["more_before"]) == (["1", "2", "3"], True)
    begin = await read_logs(as_("operator"), logged, before=earlier["items"][0]["log_id"])
    assert (words(begin), begin["more_before"]) == (["0"], False)
    following = await read_logs(as_("operator"), logged, after=first, limit=1)
    assert words(following) == ["5"]
    newest = end["items"][-1]["log_id"]
    assert (await read_logs(as_("operator"), logged, after=newest))["items"] == []


async def test_lines_are_filtered_by_level_and_an_unknown_level_is_info(as_: Any, logged: Run) -> None:
    everything = await read_logs(as_("operator"), logged)
    assert [item["level"] for item in everything["items"]][:6] == [
        "debug",
        "info",
        "info",
        "warning",
        "error",
        "critical",
    ]
    assert words(await read_logs(as_("operator"), logged, min_level="error", limit=2)) == ["4", "5"]
    assert words(await read_logs(as_("operator"), logged, min_level="info", limit=3)) == ["1", "2", "3"]
    assert words(await read_logs(as_("operator"), logged, level=["info", "critical"])) == ["1", "2", "5"]


@pytest.mark.parametrize(
    "params",
    [
        {"tail": 1, "after": 1},
        {"before": 1, "after": 1},
        {"tail": 1001},
        {"tail": 0},
        {"after": -1},
        {"after": 2**63},
        {"step_event_id": 5},
        {"level": "info", "min_level": "error"},
        {"level": "loud"},
    ],
)
async def test_contradictory_positions_or_levels_are_refused(as_: Any, logged: Run, params: dict[str, Any]) -> None:
    response = await as_("operator").get(f"/api/v1/runs/{logged.run_id}/logs", params=params)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


async def test_a_steps_lines_include_those_before_and_after_an_approval(api: Api, as_: Any) -> None:
    run = await run_with_approvals(api)
    await factories.insert(
        api.plane.engine,
        *(line(run, number, activity_id=activity) for number, activity in enumerate(("5", "20", "35", None))),
    )
    page = await read_logs(as_("operator"), run, execution=run.execution_id, step_event_id=5)
    assert words(page) == ["0", "1"]
    everything = await read_logs(as_("operator"), run)
    assert [item["step_event_id"] for item in everything["items"]] == [5, 5, None, None]
    jobs = (await as_("operator").get(f"/api/v1/runs/{run.run_id}/jobs")).json()["items"]
    assert [(item["activity_id"], item["step_event_id"], item["status"]) for item in jobs] == [
        ("5", 5, "gated"),
        ("20", 5, "failed"),
        ("20", 5, "completed"),
    ]


async def test_a_viewer_sees_times_and_levels_but_no_text_and_cannot_search(as_: Any, logged: Run) -> None:
    response = await as_("viewer").get(f"/api/v1/runs/{logged.run_id}/logs")
    assert response.status_code == 200
    assert "line" not in response.text
    assert "O-1" not in response.text
    assert {item["message"] for item in response.json()["items"]} == {None}
    assert not response.json()["payloads_visible"]
    searched = await as_("viewer").get(f"/api/v1/runs/{logged.run_id}/logs", params={"q": "line"})
    assert searched.status_code == 403
    assert (await as_("viewer").get(f"/api/v1/runs/{logged.run_id}/logs/download")).status_code == 403


async def test_logs_are_downloaded_as_terminal_safe_text_or_as_json(as_: Any, logged: Run) -> None:
    path = f"/api/v1/runs/{logged.run_id}/logs/download"
    text = await as_("operator").get(path, params={"min_level": "error"})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.headers["content-disposition"] == f'attachment; filename="{logged.run_id}-logs.log"'
    lines = text.text.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("ERROR    tools line 4")
    assert "\\x1b[2J\\nforged line\\u202e order=O-1 n=[1]" in lines[2]
    ndjson = await as_("operator").get(path, params={"format": "ndjson"})
    assert ndjson.headers["content-type"].startswith("application/x-ndjson")
    entries = [json.loads(line) for line in ndjson.text.splitlines()]
    assert [item["message"][-1] for item in entries][:6] == list("012345")


async def test_a_download_of_logs_stops_at_its_limit_and_says_so(
    as_: Any, logged: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgrid.api.routes.logs.BATCH", 2)
    monkeypatch.setattr("agentgrid.api.routes.logs.MAX_LINES", 4)
    response = await as_("operator").get(f"/api/v1/runs/{logged.run_id}/logs/download", params={"format": "ndjson"})
    *lines, last = [json.loads(line) for line in response.text.splitlines()]
    assert (len(lines), last["truncated"]) == (4, True)
