"""A job's status is the worker's report corrected by history, since workers die, leave the end to others, and fail to store results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentgrid.db.tables import Job, Run
from tests.api import factories
from tests.api.conftest import Api

BEGUN = datetime.now(UTC) - timedelta(minutes=5)
ENDED = BEGUN + timedelta(minutes=1)


def job(run: Run, attempt: int, status: str, **over: Any) -> Job:
    values: dict[str, Any] = {
        "job_id": f"{run.execution_id}/1/{attempt}",
        "started_at": BEGUN + timedelta(seconds=attempt),
        "execution_id": run.execution_id,
        "workflow_id": run.workflow_id,
        "activity_id": "1",
        "activity_type": "tool.post_reply",
        "attempt": attempt,
        "worker": "w1",
        "task_queue": run.task_queue,
        "status": status,
        "finished_at": None if status == "running" else ENDED,
    }
    return Job(**{**values, **over})


FAILED = {"status": "failed", "error": {"type": "TypeError", "message": "not JSON serializable"}}
CASES: dict[str, tuple[list[str], dict[str, Any] | None, str, list[str]]] = {
    "a running worker": (["running"], {"status": "running"}, "running", ["running"]),
    "a killed worker, and the next attempt": (
        ["running", "running"],
        {"status": "running", "live_attempt": 2},
        "running",
        ["lost", "running"],
    ),
    "a killed worker, whose next attempt only Temporal shows": (
        ["running"],
        {"status": "running", "live_attempt": 2},
        "running",
        ["lost"],
    ),
    "a killed worker in a run that ended": (["running"], {"status": "abandoned"}, "terminated", ["lost"]),
    "a killed worker whose call ran into its timeout": (["running"], {"status": "timed_out"}, "running", ["lost"]),
    "a killed worker of a call that history never names": (["running"], None, "completed", ["lost"]),
    "a completion by another process": (
        ["failed", "running"],
        {"status": "completed"},
        "running",
        ["failed", "completed"],
    ),
    "a failure by another process": (["running"], FAILED, "running", ["failed"]),
    "a result that could not be stored": (["completed", "completed"], FAILED, "failed", ["failed", "failed"]),
    "a result that was stored": (
        ["failed", "completed"],
        {"status": "completed"},
        "completed",
        ["failed", "completed"],
    ),
    "a call that ended before its worker's report": (["cancelled"], {"status": "failed"}, "failed", ["cancelled"]),
}


@pytest.mark.parametrize("name", CASES)
async def test_f17_a_jobs_status_is_corrected_by_history(api: Api, as_: Any, name: str) -> None:
    reported, step, execution, expected = CASES[name]
    run = factories.run()
    rows = [factories.execution(run, status=execution)]
    if step is not None:
        rows.append(factories.step(run, 5, activity_id="1", closed_at=ENDED, **step))  # type: ignore[arg-type]
    rows += [job(run, attempt, status) for attempt, status in enumerate(reported, 1)]  # type: ignore[misc]
    await factories.insert(api.plane.engine, run, *rows)
    response = await as_("operator").get(f"/api/v1/runs/{run.run_id}/jobs")
    jobs = response.json()["items"]
    assert [item["status"] for item in jobs] == expected
    if name == "a result that could not be stored":
        assert [item["error"]["type"] for item in jobs] == ["ResultNotStored", "TypeError"]
    if name == "a completion by another process":
        assert datetime.fromisoformat(jobs[1]["finished_at"]) == ENDED
    if "lost" in expected:
        assert jobs[0]["finished_at"] is None


async def test_f17_a_jobs_status_considers_attempts_on_the_next_page(api: Api, as_: Any) -> None:
    run = factories.run()
    jobs = [job(run, attempt, "running") for attempt in (1, 2, 3)]
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 5, activity_id="1", status="running"),
        *jobs,
    )
    first = (await as_("operator").get(f"/api/v1/runs/{run.run_id}/jobs", params={"limit": 2})).json()
    assert [item["status"] for item in first["items"]] == ["lost", "lost"]
    rest = await as_("operator").get(
        f"/api/v1/runs/{run.run_id}/jobs", params={"limit": 2, "cursor": first["next_cursor"]}
    )
    assert [item["status"] for item in rest.json()["items"]] == ["running"]
