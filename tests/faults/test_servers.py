"""Temporal and PostgreSQL killed, frozen or disconnected while runs are in progress."""

from __future__ import annotations

import os
import random
import time

from tests.faults import checks
from tests.faults.load import Load
from tests.faults.monkey import cut_connections
from tests.faults.processes import freeze, is_frozen, kill_server, restart, thaw
from tests.faults.stage import Stage

FREEZE_SECONDS = float(os.environ.get("AGENTGRID_FAULTS_FREEZE_SECONDS", "5"))
"""Short in the suite; with a longer freeze, other deadlines expire."""
RUNS = 8
RECOVERY_SECONDS = 10.0


def new_load(stage: Stage, seed: int) -> Load:
    return Load(stage, random.Random(seed), runs=RUNS, pause_seconds=0.3)


async def some_acknowledged(stage: Stage, load: Load) -> None:
    async def probe() -> bool:
        return len(load.acknowledged) >= 2

    await stage.until(probe, "runs are in progress")


async def assert_guarantees(stage: Stage, load: Load) -> None:
    await load.verify()
    await checks.nothing_pending(stage)
    await checks.decided_once(stage)
    await checks.mirrored(stage, load.acknowledged)


async def test_a_killed_temporal_delays_runs_but_loses_none(stage: Stage) -> None:
    load = new_load(stage, 1)
    async with load.running():
        await some_acknowledged(stage, load)
        await kill_server(stage.temporal)
        try:
            ready = await stage.http(None).get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            await stage.call("operator", "GET", f"/runs/{load.acknowledged[0]}")
            queued = await stage.call("operator", "POST", "/workflows/look_quickly/runs", 201, json={"input": 1})
            assert queued["status"] == "queued"
            cancel = await stage.http("operator").post(f"/api/v1/runs/{load.acknowledged[0]}/cancel")
            assert (cancel.status_code, cancel.json()["code"]) == (503, "unavailable")
            assert "retry-after" in cancel.headers
        finally:
            await restart(stage.temporal)
        assert (await stage.ended(queued["run_id"]))["status"] == "completed"
    await assert_guarantees(stage, load)


async def test_a_frozen_temporal_delays_runs_and_unknown_outcomes_are_reported_as_unknown(stage: Stage) -> None:
    load = new_load(stage, 2)
    waiting = await stage.start("run_errand", {"ask": True})
    approval = await stage.approval(waiting)
    async with load.running():
        await some_acknowledged(stage, load)
        frozen = freeze(stage.temporal.pid)
        try:
            began = time.monotonic()
            decided = await stage.http("reviewer").post(
                f"/api/v1/approvals/{approval['approval_id']}/decisions",
                json={"verdict": "approved", "digest": approval["digest"]},
            )
            assert (decided.status_code, decided.json()["outcome_unknown"]) == (504, True)
            queued = await stage.call("operator", "POST", "/workflows/look_quickly/runs", 201, json={"input": 1})
            assert queued["status"] == "queued"
            assert time.monotonic() - began < 10
            await stage.let_last(FREEZE_SECONDS - (time.monotonic() - began))
            assert is_frozen(stage.temporal.pid)
        finally:
            thaw(frozen)
        for run_id in (queued["run_id"], waiting):
            assert (await stage.ended(run_id))["status"] == "completed"
    await assert_guarantees(stage, load)


async def test_a_killed_postgres_stops_no_run_and_the_api_recovers_within_seconds(stage: Stage) -> None:
    load = new_load(stage, 3)
    async with load.running():
        await some_acknowledged(stage, load)
        timed = await stage.start("run_errand", {"seconds": 1})
        await kill_server(stage.postgres)
        try:
            refused = await stage.http("operator").get("/api/v1/runs")
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert "retry-after" in refused.headers
            assert (await stage.http(None).get("/healthz")).status_code == 200
            assert (await stage.http(None).get("/readyz")).status_code == 503
            # Executing a run never waits for the database.
            assert await (await stage.client()).get_workflow_handle(timed).result() == ["first", "noted", "last"]
        finally:
            await restart(stage.postgres)
        began = time.monotonic()
        await stage.healed()
        assert time.monotonic() - began < RECOVERY_SECONDS
        assert (await stage.ended(timed))["status"] == "completed"
    await assert_guarantees(stage, load)


async def test_with_a_frozen_postgres_health_requests_are_answered_and_runs_go_on(stage: Stage) -> None:
    load = new_load(stage, 4)
    async with load.running():
        await some_acknowledged(stage, load)
        timed = await stage.start("run_errand", {"seconds": 1})
        frozen = freeze(stage.postgres.pid)
        try:
            began = time.monotonic()
            assert (await stage.http(None).get("/healthz")).status_code == 200
            assert (await stage.http(None).get("/readyz")).status_code == 503
            assert await (await stage.client()).get_workflow_handle(timed).result() == ["first", "noted", "last"]
            await stage.let_last(FREEZE_SECONDS - (time.monotonic() - began))
            assert is_frozen(stage.postgres.pid)
        finally:
            thaw(frozen)
        began = time.monotonic()
        await stage.healed()
        assert time.monotonic() - began < RECOVERY_SECONDS
    await assert_guarantees(stage, load)


async def test_repeatedly_cut_connections_lose_no_change_for_good(stage: Stage) -> None:
    """Listeners are cut too, and changes whose notifications they miss are found anyway."""
    load = new_load(stage, 5)
    cut = 0
    async with load.running():
        await some_acknowledged(stage, load)
        for _ in range(6):
            cut += await cut_connections(stage)
            await stage.let_last(0.5)
        began = time.monotonic()
    assert cut >= 6
    assert time.monotonic() - began < RECOVERY_SECONDS + 10
    await assert_guarantees(stage, load)
