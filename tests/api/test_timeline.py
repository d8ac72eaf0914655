"""The timeline: every step of a run in one response, with attempts, approvals, labels, and groups for large fan-outs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ConfigDict

from agentgrid.api.schemas.timeline import Timeline, TimelineStep
from agentgrid.db.tables import Job, Run
from tests.api import factories
from tests.api.conftest import Api

BEGUN = datetime.now(UTC) - timedelta(minutes=10)


def at(seconds: float) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


def job(run: Run, activity: str, attempt: int, status: str, since: float, **over: Any) -> Job:
    values: dict[str, Any] = {
        "job_id": f"{run.execution_id}/{activity}/{attempt}",
        "started_at": at(since),
        "execution_id": run.execution_id,
        "workflow_id": run.workflow_id,
        "activity_id": activity,
        "activity_type": "tool.refund",
        "attempt": attempt,
        "worker": "w1",
        "task_queue": "tools",
        "status": status,
        "finished_at": None if status == "running" else at(since + 1),
    }
    return Job(**{**values, **over})


def one_run(**over: Any) -> Run:
    return factories.run(created_at=BEGUN, started_at=BEGUN, **over)


async def timeline(client: Any, run: Run, **params: Any) -> dict[str, Any]:
    response = await client.get(f"/api/v1/runs/{run.run_id}/timeline", params=params)
    assert response.status_code == 200, response.text
    Strict.model_validate_json(response.content)
    found: dict[str, Any] = response.json()
    return found


class Strict(Timeline):
    """The response as documented, without other top-level fields."""

    model_config = ConfigDict(extra="forbid")


def no_nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return all(item is not None and no_nulls(item) for item in value.values())
    return all(no_nulls(item) for item in value) if isinstance(value, list) else True


SECRET = "the customer's words"
PRICED = {"type": "object", "properties": {"order": [], "cents": {"x-unit": "cents", "x-currency": "USD"}}}


async def run_with_approvals(api: Api) -> Run:
    """A refund that needed approval (approved, failed once, then done), a sleep, and an explicit approval that is pending."""
    run = one_run(status="waiting", waiting_on="approval", step_count=4)
    approval = factories.approval(
        run, approvers=["support-leads"], step_event_id=5, status="approved", opened_at=at(2), closed_at=at(62)
    )
    waits = factories.approval(
        run, approvers=["role:approver"], title=f"Refund {SECRET}", kind="explicit", step_event_id=40, opened_at=at(80)
    )
    upstream = {"type": "Upstream", "message": f"503 for {SECRET}", "retryable": True, "stack": "x" * 9_000}
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(
            run,
            5,
            name="refund",
            title="Refund",
            activity_id="20",
            call_key="k1",
            task_queue="tools",
            attempts=2,
            approval_id=approval.approval_id,
            scheduled_at=at(0),
            started_at=at(64),
            closed_at=at(66),
            input={"size": 90, "value": {"order": SECRET, "lines": [1], "cents": 1200, "note": "x" * 500}},
            usage={"requests": 1, "input_tokens": 5, "output_tokens": 7, "usd": None, "later": 1},
        ),
        factories.step(
            run,
            30,
            kind="timer",
            name="timer",
            status="completed",
            scheduled_at=at(66),
            due_at=at(69),
            closed_at=at(69),
        ),
        factories.step(
            run,
            35,
            parent=5,
            turn=2,
            name="lookup",
            status="failed",
            scheduled_at=at(69),
            closed_at=at(70),
            error=upstream,
        ),
        factories.step(
            run,
            40,
            kind="approval",
            name=f"Refund {SECRET}",
            status="waiting",
            approval_id=waits.approval_id,
            scheduled_at=at(80),
        ),
        approval,
        waits,
        job(
            run, "5", 1, "failed", 1, call_key="k1", error={"type": "ApprovalRequired", "message": "approval required"}
        ),
        job(run, "20", 1, "failed", 62, call_key="k1", error=upstream),
        job(run, "20", 2, "completed", 64, call_key="k1"),
        job(run, "99", 1, "failed", 63, call_key="k1", task_queue="elsewhere", worker="foreign"),
    )
    return run


async def test_a_timeline_has_every_step_with_its_attempts_approval_and_label(api: Api, as_: Any) -> None:
    run = await run_with_approvals(api)
    if await as_("operator").get("/api/v1/tools/refund") is not None:
        await factories.insert(api.plane.engine, factories.tool("refund", risk="destructive", input_schema=PRICED))

    found = await timeline(as_("operator"), run)

    assert no_nulls(found)
    assert (found["complete"], found["step_count"], found["groups"]) == (True, 4, [])
    assert {name for step in found["steps"] for name in step} <= set(TimelineStep.model_fields)
    refund, sleep, lookup, approval = found["steps"]
    assert [step["event_id"] for step in found["steps"]] == [5, 30, 35, 40]
    assert (refund["title"], refund["risk"], refund["label"]) == ("Refund", "destructive", f"{SECRET} · 12.00 USD")
    assert [(item["n"], item["status"]) for item in refund["attempts"]] == [
        (1, "gated"),
        (2, "failed"),
        (3, "completed"),
    ]
    assert refund["attempts"][1]["error"] == {"type": "Upstream", "message": f"503 for {SECRET}"}
    assert "error" not in refund["attempts"][0]
    assert {item["worker"] for item in refund["attempts"]} == {
        "w1"
    }  # without the report from a queue that isn't the run's
    assert refund["usage"] == {"requests": 1, "input_tokens": 5, "output_tokens": 7}
    assert refund["activity_ids"] == ["5", "20"]
    assert refund["gate"]["approvers"] == ["support-leads"]
    assert (sleep["title"], "attempts" in sleep) == ("Sleep 3 s", False)
    assert (lookup["parent"], lookup["turn"], lookup["error_type"]) == (5, 2, "Upstream")
    assert (approval["title"], approval["name"]) == ("Waits for any approver", f"Refund {SECRET}")
    assert SECRET not in str({**found, "steps": []})
    # 2 s of the last attempt and 1 s of each of the two before; the approvals were open for a minute and from second 80 on.
    assert found["working_seconds"] == 4
    total_seconds = (datetime.fromisoformat(found["at"]) - BEGUN).total_seconds()
    assert abs(found["waiting_seconds"] - (total_seconds - 4)) < 0.1
    assert abs(found["people_seconds"] - (60 + total_seconds - 80)) < 0.1


async def test_a_viewers_timeline_has_no_labels_messages_or_approval_titles(api: Api, as_: Any) -> None:
    run = await run_with_approvals(api)
    response = await as_("viewer").get(f"/api/v1/runs/{run.run_id}/timeline")
    body = response.json()
    assert SECRET not in response.text
    assert not body["payloads_visible"]
    assert not any("label" in step for step in body["steps"])
    assert body["steps"][0]["attempts"][1]["error"] == {"type": "Upstream"}
    assert (body["steps"][3]["name"], body["steps"][3]["title"]) == ("approval", "Waits for any approver")


async def test_a_timeline_says_which_events_it_includes(api: Api, as_: Any) -> None:
    run = one_run()
    await factories.insert(api.plane.engine, run, factories.execution(run))
    *_, newest = await factories.publish(api.plane.engine, (run.run_id, "run", {}), (run.run_id, "run", {}))
    assert (await timeline(as_("operator"), run))["as_of"] >= newest


async def test_a_fan_out_beyond_the_limit_is_shown_as_one_group(api: Api, as_: Any) -> None:
    run = one_run(status="running", step_count=63)
    statuses = ["completed"] * 40 + ["failed"] * 5 + ["running"] * 5
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 4, name="plan", scheduled_at=at(0), closed_at=at(1)),
        *(
            factories.step(
                run,
                10 + n,
                name="process_item",
                status=status,
                scheduled_at=at(2),
                closed_at=None if status == "running" else at(3 + n),
            )
            for n, status in enumerate(statuses)
        ),
        factories.step(run, 100, parent=10, name="inner", scheduled_at=at(3), closed_at=at(4)),
        factories.step(run, 101, name="report", scheduled_at=at(60), closed_at=at(61)),
    )

    unfolded = await timeline(as_("viewer"), run)
    assert (len(unfolded["steps"]), unfolded["groups"]) == (53, [])

    folded = await timeline(as_("viewer"), run, limit=20)
    assert [step["name"] for step in folded["steps"]] == ["plan", "report"]
    (group,) = folded["groups"]
    assert (group["count"], group["done"], group["failed"], group["open"], group["beneath"]) == (50, 40, 5, 5, 1)
    assert (group["first"], group["last"]) == (10, 59)
    assert (datetime.fromisoformat(group["first_at"]), datetime.fromisoformat(group["last_at"])) == (at(2), at(47))
    assert [sum(item[word] for item in group["bins"]) for word in ("done", "failed", "open")] == [40, 5, 5]
    assert folded["complete"]

    part = await timeline(
        as_("viewer"), run, execution=group["execution_id"], first=group["first"], last=group["last"], limit=60
    )
    assert len(part["steps"]) == 50


async def test_a_timeline_over_its_limit_keeps_the_newest_steps_and_says_so(api: Api, as_: Any) -> None:
    run = one_run(step_count=9)
    steps = [factories.step(run, n, name=f"tool-{n}", scheduled_at=at(n)) for n in range(2, 11)]
    steps[-1].parent = 2
    await factories.insert(api.plane.engine, run, factories.execution(run), *steps)
    found = await timeline(as_("operator"), run, limit=4)
    assert [step["event_id"] for step in found["steps"]] == [2, 8, 9, 10]  # 2, because it is the parent of 10
    assert not found["complete"]


async def test_an_open_run_shows_what_earlier_runs_of_its_version_did_next(api: Api, as_: Any) -> None:
    for after in (["reply", "close"], ["reply"], ["escalate", "close"]):
        earlier = one_run(workflow="usual", version="v1", status="completed")
        names = ["fetch", *after]
        await factories.insert(
            api.plane.engine,
            earlier,
            factories.execution(earlier, status="completed"),
            *(factories.step(earlier, n, name=name, scheduled_at=at(n)) for n, name in enumerate(names, 5)),
        )
    run = one_run(workflow="usual", version="v1")
    other = one_run(workflow="usual", version="v2")
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 5, name="fetch"),
        other,
        factories.execution(other),
    )
    usual = (await timeline(as_("viewer"), run))["usual_next"]
    assert usual["runs"] == 3
    assert [(step["name"], step["count"]) for step in usual["steps"]] == [("escalate", 1), ("reply", 2), ("close", 2)]
    assert "usual_next" not in await timeline(as_("viewer"), other)


async def test_a_step_is_read_by_its_execution_and_event(api: Api, as_: Any) -> None:
    run, other = one_run(), one_run()
    await factories.insert(
        api.plane.engine,
        run,
        factories.execution(run),
        factories.step(run, 5, output={"size": 1, "value": 1}),
        other,
        factories.execution(other),
    )
    path = f"/api/v1/runs/{run.run_id}/steps/{run.execution_id}"
    body = (await as_("operator").get(f"{path}/5")).json()
    assert (body["event_id"], body["output"]["value"]) == (5, 1)
    assert (await as_("viewer").get(f"{path}/5")).json()["output"] is None
    assert (await as_("operator").get(f"{path}/6")).status_code == 404
    stolen = f"/api/v1/runs/{other.run_id}/steps/{run.execution_id}/5"
    assert (await as_("operator").get(stolen)).status_code == 404
    for trick in ("0", "-1", "five", "9223372036854775808", "5%00"):
        assert (await as_("operator").get(f"{path}/{trick}")).status_code == 422, trick
    assert (await as_("operator").get(f"{path}%2F..%2F..%2Ftimeline/5")).status_code == 404
