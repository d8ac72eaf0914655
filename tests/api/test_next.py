"""What a run is waiting for, in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agentgrid.db.tables import Run
from tests.api import factories
from tests.api.conftest import Api


async def test_a_run_names_the_first_of_its_approvals_and_how_long_its_timers_are(api: Api, as_):
    asks = factories.run(status="waiting", waiting_on="approval")
    approvals = [factories.approval(asks, title=f"Pay {n}", step_event_id=5 + n) for n in range(5)]
    hides = factories.run(status="waiting", waiting_on="approval")
    mixes = factories.run(status="waiting", waiting_on="approval")
    approvals += [factories.approval(mixes, title="Refund ticket", step_event_id=5)]
    for n in range(10):
        approvals += [
            factories.approval(run, kind="explicit", title=f"Tell Ada {n}", step_event_id=6 + n)
            for run in (hides, mixes)
        ]
    sleeps = factories.run(status="waiting", waiting_on="timer")
    begun = datetime.now(UTC)
    timers = [
        factories.step(
            sleeps,
            5 + n,
            kind="timer",
            name="timer",
            status="waiting",
            scheduled_at=begun,
            due_at=begun + timedelta(hours=hours),
        )
        for n, hours in enumerate((2, 2, 3))
    ]
    later = factories.run(status="queued", start_at=datetime(2026, 11, 29, 14, 30, tzinfo=UTC))
    await factories.insert(
        api.plane.engine,
        *(asks, sleeps, hides, mixes, later),
        *map(factories.execution, (asks, sleeps, hides, mixes)),
        *approvals,
        *timers,
    )

    async def summary(who: str, run: Run) -> str:
        return str((await as_(who).get(f"/api/v1/runs/{run.run_id}")).json()["next"]["summary"])

    waits = [await summary("operator", run) for run in (asks, sleeps, later)]
    assert waits[0] == "waits for any approver to decide: Pay 0 and 4 more"
    assert waits[1:] == ["waits for a timer of 2 h and of 3 h", "waits to start, not before 2026-11-29 14:30 UTC"]
    assert await summary("viewer", hides) == "waits for any approver to decide: 10 approvals"
    assert await summary("viewer", mixes) == "waits for any approver to decide: Refund ticket and 10 more"
    assert "Tell Ada" in await summary("operator", hides)


async def test_the_reason_for_not_deciding_is_one_the_caller_can_act_on(api: Api, as_):
    """Regression: callers who started a run were told that they lack a role, although the role would not have helped."""
    run = factories.run(status="waiting", waiting_on="approval", initiator="operator")
    of_others = factories.approval(run, approvers=["nobody-here"], step_event_id=5)
    opening = factories.approval(run, decidable=False, step_event_id=6)
    mine = factories.run(status="waiting", waiting_on="approval", initiator="reviewer")
    own = factories.approval(mine)
    runs = (run, mine)
    await factories.insert(api.plane.engine, *runs, *map(factories.execution, runs), of_others, opening, own)

    async def why(who: str, run: Run) -> str:
        return str((await as_(who).get(f"/api/v1/runs/{run.run_id}")).json()["next"]["you"]["reason"])

    assert await why("operator", run) == "operator started the run, so they can't decide its approvals"
    assert await why("reviewer", mine) == "reviewer started the run, so they can't decide its approvals"
    assert await why("operator", mine) == "deciding an approval requires the role approver"
    assert await why("reviewer", run) == "the approval is not open for decisions yet; try again in a moment"
