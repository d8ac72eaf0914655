"""Timelines, steps, downloads and logs show nothing out of scope, quote nothing to callers who may not read it, and resist path tricks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from agentgrid.db.session import writing
from tests.api import factories
from tests.api.conftest import Api, api, as_
from tests.security.scoped import narrow, sides

__all__ = ["api", "as_", "narrow", "sides"]


def tails(execution: str) -> list[str]:
    return [
        "/timeline",
        f"/timeline?execution={execution}",
        f"/steps/{execution}/5",
        f"/steps/{execution}/5/input",
        "/input/download",
        "/result/download",
        "/logs?tail=5",
        "/logs/download",
    ]


async def test_a_run_out_of_scope_looks_as_if_it_did_not_exist(api: Api, as_: Any, sides: dict[str, Any]) -> None:
    inside, outside = sides["in_run"], sides["out_run"]
    for tail in tails(outside.execution_id):
        for who in ("scoped", "blind"):
            answer = await as_(who).get(f"/api/v1/runs/{outside.run_id}{tail}")
            assert answer.status_code == 404, (who, tail)
            assert "secret" not in answer.text
    # Not even through a run that the caller may see.
    for tail in (
        f"/timeline?execution={outside.execution_id}",
        f"/steps/{outside.execution_id}/5",
        f"/steps/{outside.execution_id}/5/input",
    ):
        assert (await as_("scoped").get(f"/api/v1/runs/{inside.run_id}{tail}")).status_code == 404, tail
    for params in ({"execution": outside.execution_id}, {"execution": outside.execution_id, "step_event_id": 5}):
        listed = await as_("scoped").get(f"/api/v1/runs/{inside.run_id}/logs", params=params)
        assert listed.json()["items"] == []


async def test_an_unreadable_tool_schema_only_costs_a_label_its_unit(api: Api, as_: Any) -> None:
    run = factories.run()
    step = factories.step(run, 5, name="pay", input={"value": {"cents": 1200}})
    await factories.insert(api.plane.engine, run, factories.execution(run), step, factories.tool("pay"))
    for schema in ('{"x-unit":' + "[" * 2_000 + "]" * 2_000 + "}", '{"x-unit":' + "9" * 5_000 + "}", '"x-unit"'):
        async with writing(api.plane.engine) as session:
            await session.execute(
                text("UPDATE tools SET input_schema = CAST(CAST(:schema AS text) AS json) WHERE name = 'pay'"),
                {"schema": schema},
            )
        answer = await as_("operator").get(f"/api/v1/runs/{run.run_id}/timeline")
        assert [step["label"] for step in answer.json()["steps"]] == ["1200"], schema[:40]


async def test_a_viewer_downloads_nothing(api: Api, as_: Any, sides: dict[str, Any]) -> None:
    run = sides["in_run"]
    for tail in (f"/steps/{run.execution_id}/5/input", "/input/download", "/result/download", "/logs/download"):
        answer = await as_("viewer").get(f"/api/v1/runs/{run.run_id}{tail}")
        assert (answer.status_code, "secret" in answer.text) == (403, False), tail


@pytest.mark.parametrize(
    "execution", ["..", "%2e%2e%2f", "*", "%25", "a%00b", "%ff", "x" * 400, "'; DROP TABLE steps; --"]
)
async def test_a_step_can_only_be_addressed_by_its_own_execution(
    api: Api, as_: Any, sides: dict[str, Any], execution: str
) -> None:
    place = f"/api/v1/runs/{sides['in_run'].run_id}/steps/{execution}/5"
    for path in (place, f"{place}/input"):
        answer = await as_("scoped").get(path)
        assert answer.status_code in (404, 422), (path, answer.status_code)
        assert "secret" not in answer.text


async def test_a_viewer_reads_no_title_of_an_explicit_approval_in_a_run(api: Api, as_: Any) -> None:
    title = "Refund 4,200 EUR to Ada"
    run = factories.run(status="waiting", waiting_on="approval", current_step=title, current_kind="approval")
    approval = factories.approval(run, kind="explicit", title=title, step_event_id=5)
    waits = factories.step(run, 5, kind="approval", name=title, status="waiting", approval_id=approval.approval_id)
    await factories.insert(api.plane.engine, run, factories.execution(run), waits, approval)
    place = f"/api/v1/runs/{run.run_id}"
    for path in (f"{place}/steps", f"{place}/timeline", f"{place}/steps/{run.execution_id}/5", "/api/v1/runs"):
        assert title not in (await as_("viewer").get(path)).text, path
    seen = (await as_("viewer").get(place)).json()
    assert (seen["next"]["summary"], seen["current_step"]) == (
        "waits for any approver to decide: An approval",
        "approval",
    )
    assert title in (await as_("operator").get(place)).json()["next"]["summary"]


@pytest.mark.parametrize(
    "state",
    [("paused", None), ("cancelling", None), ("waiting", "retry"), ("running", None)],
)
async def test_the_title_stays_hidden_while_the_run_is_paused_retries_or_works(
    api: Api, as_: Any, state: tuple[str, str | None]
) -> None:
    title, soon = "Refund 4,300 EUR to Bea", datetime.now(UTC) + timedelta(seconds=20)
    status, waiting_on = state
    run = factories.run(
        status=status,
        waiting_on=waiting_on,
        current_step=title,
        current_kind="approval",
        approvals_pending=1,
        next_at=soon,
    )
    approval = factories.approval(run, kind="explicit", title=title, step_event_id=5, expires_at=soon)
    waits = factories.step(run, 5, kind="approval", name=title, status="waiting", approval_id=approval.approval_id)
    await factories.insert(api.plane.engine, run, factories.execution(run), waits, approval)
    place = f"/api/v1/runs/{run.run_id}"
    for path in (place, f"/api/v1/runs?ids={run.run_id}", "/api/v1/overview"):
        assert title not in (await as_("viewer").get(path)).text, path
        assert title in (await as_("operator").get(path)).text, path


async def test_the_name_of_a_tool_that_waits_for_approval_is_not_a_payload(api: Api, as_: Any) -> None:
    run = factories.run(status="waiting", waiting_on="approval", current_step="Refund an order", current_kind="tool")
    await factories.insert(api.plane.engine, run, factories.execution(run))
    seen = (await as_("viewer").get(f"/api/v1/runs/{run.run_id}")).json()
    assert seen["current_step"] == "Refund an order"


async def test_a_run_says_whether_the_caller_can_act_on_what_it_waits_for(api: Api, as_: Any) -> None:
    run = factories.run(status="waiting", waiting_on="approval")
    approval = factories.under(api.plane.signer, factories.approval(run))
    await factories.insert(api.plane.engine, run, factories.execution(run), approval)

    async def you(who: str) -> dict[str, Any]:
        you: dict[str, Any] = (await as_(who).get(f"/api/v1/runs/{run.run_id}")).json()["next"]["you"]
        return you

    assert await you("reviewer") == {
        "may_act": True,
        "verbs": ["approve", "reject"],
        "approval_ids": [approval.approval_id],
        "reason": None,
    }
    starter, robot = await you("operator"), await you("robot")
    assert (starter["may_act"], starter["approval_ids"]) == (False, [])
    assert "operator started the run" in starter["reason"]
    assert "only people decide approvals" in robot["reason"]
    paused = factories.run(status="paused")
    await factories.insert(api.plane.engine, paused, factories.execution(paused))
    next_step = (await as_("operator").get(f"/api/v1/runs/{paused.run_id}")).json()["next"]["you"]
    assert (next_step["may_act"], next_step["verbs"]) == (True, ["resume"])
    next_step = (await as_("viewer").get(f"/api/v1/runs/{paused.run_id}")).json()["next"]["you"]
    assert (next_step["may_act"], "role operator or developer" in next_step["reason"]) == (False, True)
