"""What a run waits for, in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.api import factories
from tests.api.conftest import Api


async def test_a_run_names_the_first_of_its_approvals_and_how_long_its_timers_are(api: Api, as_):
    asks = factories.run(status="waiting", waiting_on="approval")
    gates = [factories.approval(asks, title=f"Pay {n}", step_event_id=5 + n) for n in range(5)]
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
    await factories.insert(
        api.plane.engine, asks, sleeps, factories.execution(asks), factories.execution(sleeps), *gates, *timers
    )
    waits = [
        (await as_("operator").get(f"/api/v1/runs/{run.run_id}")).json()["next"]["summary"] for run in (asks, sleeps)
    ]
    assert waits == ["waits for any approver to decide: Pay 0 and 4 more", "waits for a timer of 2 h and of 3 h"]
