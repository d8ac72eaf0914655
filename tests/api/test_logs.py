"""Logs: a page from the beginning, the end, on from a line, by level and step, and as a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.db.tables import Log, Run
from tests.api import factories
from tests.api.conftest import Api
from tests.api.test_timeline import gated

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


async def asked(client: Any, run: Run, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/runs/{run.run_id}/logs", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def words(page: dict[str, Any]) -> list[str]:
    return [each["message"][-1] for each in page["items"]]


async def test_a_log_opens_at_its_end_and_goes_on_both_ways(as_: Any, logged: Run) -> None:
    end = await asked(as_("operator"), logged, tail=3)
    assert (words(end)[:2], end["more_before"], end["next_cursor"]) == (["4", "5"], True, None)
    first = end["items"][0]["log_id"]
    earlier = await asked(as_("operator"), logged, before=first, limit=3)
    assert (words(earlier), earlier["more_before"]) == (["1", "2", "3"], True)
    begin = await asked(as_("operator"), logged, before=earlier["items"][0]["log_id"])
    assert (words(begin), begin["more_before"]) == (["0"], False)
    onward = await asked(as_("operator"), logged, after=first, limit=1)
    assert words(onward) == ["5"]
    newest = end["items"][-1]["log_id"]
    assert (await asked(as_("operator"), logged, after=newest))["items"] == []


async def test_lines_are_chosen_by_level_and_a_strange_level_is_info(as_: Any, logged: Run) -> None:
    everything = await asked(as_("operator"), logged)
    assert [each["level"] for each in everything["items"]][:6] == [
        "debug",
        "info",
        "info",
        "warning",
        "error",
        "critical",
    ]
    assert words(await asked(as_("operator"), logged, min_level="error", limit=2)) == ["4", "5"]
    assert words(await asked(as_("operator"), logged, min_level="info", limit=3)) == ["1", "2", "3"]
    assert words(await asked(as_("operator"), logged, level=["info", "critical"])) == ["1", "2", "5"]


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
async def test_a_place_or_level_that_makes_no_sense_is_refused(as_: Any, logged: Run, params: dict[str, Any]) -> None:
    answer = await as_("operator").get(f"/api/v1/runs/{logged.run_id}/logs", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_a_steps_lines_include_those_of_its_calls_before_and_after_a_gate(api: Api, as_: Any) -> None:
    run = await gated(api)
    await factories.insert(
        api.plane.engine,
        *(line(run, number, activity_id=activity) for number, activity in enumerate(("5", "20", "35", None))),
    )
    found = await asked(as_("operator"), run, execution=run.execution_id, step_event_id=5)
    assert words(found) == ["0", "1"]
    everything = await asked(as_("operator"), run)
    assert [each["step_event_id"] for each in everything["items"]] == [5, 5, None, None]
    jobs = (await as_("operator").get(f"/api/v1/runs/{run.run_id}/jobs")).json()["items"]
    assert [(each["activity_id"], each["step_event_id"], each["status"]) for each in jobs] == [
        ("5", 5, "gated"),
        ("20", 5, "failed"),
        ("20", 5, "completed"),
    ]


async def test_a_viewer_sees_when_and_how_severe_but_not_what_and_cannot_search(as_: Any, logged: Run) -> None:
    answer = await as_("viewer").get(f"/api/v1/runs/{logged.run_id}/logs")
    assert answer.status_code == 200
    assert "line" not in answer.text
    assert "O-1" not in answer.text
    assert {each["message"] for each in answer.json()["items"]} == {None}
    assert not answer.json()["payloads_visible"]
    searched = await as_("viewer").get(f"/api/v1/runs/{logged.run_id}/logs", params={"q": "line"})
    assert searched.status_code == 403
    assert (await as_("viewer").get(f"/api/v1/runs/{logged.run_id}/logs/download")).status_code == 403


async def test_logs_are_downloaded_as_text_that_acts_on_no_terminal_and_as_json(as_: Any, logged: Run) -> None:
    place = f"/api/v1/runs/{logged.run_id}/logs/download"
    text = await as_("operator").get(place, params={"min_level": "error"})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.headers["content-disposition"] == f'attachment; filename="{logged.run_id}-logs.log"'
    lines = text.text.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("ERROR    tools line 4")
    assert "\\x1b[2J\\nforged line\\u202e order=O-1 n=[1]" in lines[2]
    ndjson = await as_("operator").get(place, params={"format": "ndjson"})
    assert ndjson.headers["content-type"].startswith("application/x-ndjson")
    found = [json.loads(each) for each in ndjson.text.splitlines()]
    assert [each["message"][-1] for each in found][:6] == list("012345")


async def test_a_download_of_logs_ends_at_its_limit_and_says_so(
    as_: Any, logged: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgrid.api.routes.logs.BATCH", 2)
    monkeypatch.setattr("agentgrid.api.routes.logs.MAX_LINES", 4)
    answer = await as_("operator").get(f"/api/v1/runs/{logged.run_id}/logs/download", params={"format": "ndjson"})
    *lines, last = [json.loads(each) for each in answer.text.splitlines()]
    assert (len(lines), last["truncated"]) == (4, True)
