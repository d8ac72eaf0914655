"""Half of a surrogate pair, which a worker can put into anything stored as JSON, breaks no response and no stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api import factories
from tests.api.conftest import Api, api, as_
from tests.api.test_logs import line
from tests.api.test_timeline import job

__all__ = ["api", "as_"]

HALF = "torn \ud800"
HELD: dict[str, Any] = {"size": 20, "value": {HALF: [HALF]}}
ERROR: dict[str, Any] = {
    "type": HALF,
    "message": HALF,
    "stack": f'File "/app/{HALF}.py", line 3, in run',
    "details": HELD,
    "retryable": True,
    "cause": {"type": HALF, "message": HALF, "details": HELD},
}
SCHEMA = {"type": "object", "title": HALF, "properties": {HALF: {"const": HALF}}}


@pytest.fixture(scope="module")
async def places(api: Api) -> list[str]:
    """Every page about a run that has half a pair in every JSON column."""
    run = factories.run(status="waiting", waiting_on="approval", input=HELD, result=HELD, error=ERROR)
    approval = factories.approval(
        run, step_event_id=7, arguments={HALF: HALF}, payload=HELD, changed=HELD, agent="a", turn=1
    )
    ended = factories.run(status="failed", input=HELD, error=ERROR)
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 5, input=HELD, output=HELD, error=ERROR, live_error=ERROR, attempts=2, activity_id="5"),
        factories.step(run, 6, input={"size": 9, "value": {"id": HALF}}, changed_input=HELD, status="running"),
        factories.step(run, 7, kind="tool", status="waiting", approval_id=approval.approval_id, live_error=ERROR),
        approval,
        job(run, "5", 1, "failed", 1, error=ERROR, task_queue=run.task_queue),
        job(run, "5", 2, "failed", 2, error=ERROR, task_queue=run.task_queue),
        line(run, 1, fields={HALF: [HALF]}),
        ended,
        factories.execution(ended, status="failed"),
        *factories.workflow("torn", SCHEMA),
        factories.tool("torn", input_schema=SCHEMA),
        factories.tool_version("torn", input_schema=SCHEMA),
    )
    parts = (
        "",
        "/steps",
        "/timeline",
        "/jobs",
        "/logs",
        "/approvals",
        "/logs/download",
        "/logs/download?format=ndjson",
    )
    steps = [f"/steps/{run.execution_id}/{event_id}{side}" for event_id in (5, 6) for side in ("", "/input")]
    return [
        *(f"runs/{run.run_id}{part}" for part in (*parts, *steps, "/input/download")),
        f"approvals/{approval.approval_id}",
        "approvals",
        f"runs/{ended.run_id}",
        f"runs/{ended.run_id}/result",
        "workflows",
        "workflows/torn",
        "tools",
        "tools/torn",
    ]


@pytest.mark.parametrize("who", ["operator", "viewer", "reviewer"])
async def test_half_a_surrogate_pair_breaks_no_response(
    as_: Callable[[str], httpx.AsyncClient], places: list[str], who: str
) -> None:
    answers = {path: await as_(who).get(f"/api/v1/{path}") for path in places}
    assert {path: answer.status_code for path, answer in answers.items() if answer.status_code not in (200, 403)} == {}
    assert all(
        answer.status_code == 200 for path, answer in answers.items() if "download" not in path and "/input" not in path
    )
    readable = [path for path, answer in answers.items() if "torn ?" in answer.text]
    if who == "operator":
        for part in ("", "/steps", "/timeline", "/jobs", "/logs", "/approvals"):
            assert f"{places[0]}{part}" in readable, part
