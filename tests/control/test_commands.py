"""Commands whose process dies: recorded first, delivered until the outcome is known, and applied exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError

from agentgrid.control import api_keys, commands, delivery, principals, runs
from agentgrid.control.plane import Caller, ControlPlane
from agentgrid.db import commands as db_commands
from agentgrid.db import feed
from agentgrid.db import runs as db_runs
from agentgrid.db.run_filter import RunFilter
from agentgrid.db.session import reading, writing
from agentgrid.domain.commands import CommandKind, CommandStatus
from agentgrid.domain.scopes import EVERY_WORKFLOW
from agentgrid.errors import Conflict, IdempotencyConflict, InvalidInput, NotFound, Unavailable
from tests.api import factories
from tests.api.conftest import eventually
from tests.control.conftest import OPERATOR, SETUP, caller


async def catalog(plane: ControlPlane, name: str = "Waits", **over):
    await factories.insert(plane.engine, *factories.workflow(name, {}, **over))


async def operator(plane: ControlPlane) -> Caller:
    """The operator as a registered principal with an API key: late delivery rechecks both."""
    await principals.put(plane.engine, caller(SETUP), OPERATOR)
    key = await api_keys.create(plane.engine, caller(SETUP), principal=OPERATOR.name)
    return caller(key_id=key.key_id)


async def command_of(plane: ControlPlane, command_id: str):
    return await commands.get(plane, command_id)


async def make_due(plane: ControlPlane) -> None:
    async with writing(plane.engine) as session:
        await session.execute(text("UPDATE commands SET next_attempt_at = now() WHERE status = 'pending'"))


async def starts_in_history(plane: ControlPlane, run_id: str) -> int:
    history = await plane.temporal.get_workflow_handle(run_id).fetch_history()
    return [e.event_type for e in history.events].count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)


class Killed(BaseException):
    """Simulates kill -9: nothing after it runs."""


@pytest.mark.parametrize("when", ["before it is sent", "after Temporal accepted it"])
async def test_a_start_survives_the_death_of_the_api(plane: ControlPlane, monkeypatch, when: str):
    await catalog(plane)
    requester = await operator(plane)
    send = runs.deliver_start

    async def dies(plane, command, **about):
        if when != "before it is sent":
            await send(plane, command, **about)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "deliver_start", dies)
        with pytest.raises(Killed):
            await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    async with reading(plane.engine) as session:
        (pending,) = await db_commands.newest(session, scope=EVERY_WORKFLOW, limit=10, kind=["run.start"])
        run = await db_runs.get(session, pending.run_id)
    assert (pending.status, run.status) == ("pending", "queued")

    await make_due(plane)
    assert await delivery.deliver_due(plane) == 1

    assert (await command_of(plane, pending.command_id)).status == CommandStatus.DELIVERED
    assert await starts_in_history(plane, pending.run_id) == 1


WITHDRAWN = {
    "the kill switch of its workflow": "INSERT INTO switches (kind, name, version, disabled, created_by) VALUES ('workflow', 'Waits', 1, true, 'admin')",
    "its principal": "UPDATE principals SET disabled_at = now()",
    "its key": "UPDATE api_keys SET revoked_at = now()",
    "its role": "UPDATE principals SET roles = '{viewer}'",
    "its scope": "UPDATE principals SET workflows = '{other}'",
}


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("withdrawn", sorted(WITHDRAWN))
async def test_r36_a_queued_start_is_authorised_again_before_it_is_sent(
    plane: ControlPlane, monkeypatch, withdrawn: str, sent: bool
):
    """Unless Temporal already has it: then the run has started and the command is delivered."""
    await catalog(plane)
    requester = await operator(plane)
    send = runs.deliver_start

    async def dies(plane, command, **about):
        if sent:
            await send(plane, command, **about)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "deliver_start", dies)
        with pytest.raises(Killed):
            await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    async with writing(plane.engine) as session:
        await session.execute(text(WITHDRAWN[withdrawn]))
    await make_due(plane)
    await delivery.deliver_due(plane)

    async with reading(plane.engine) as session:
        (command,) = await db_commands.newest(session, scope=EVERY_WORKFLOW, limit=10, kind=["run.start"])
        run = await db_runs.get(session, command.run_id)
    if sent:
        assert (command.status, await starts_in_history(plane, run.run_id)) == ("delivered", 1)
        return
    assert (command.status, run.status) == ("refused", "failed")
    assert run.error["type"] == "StartRefused"
    with pytest.raises(RPCError, match="not found"):
        await plane.temporal.get_workflow_handle(run.run_id).describe()


async def test_cached_start_conditions_bypass_neither_the_kill_switch_nor_the_callers_scope(plane: ControlPlane):
    await catalog(plane)
    requester = await operator(plane)
    await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    assert "Waits" in plane.start_conditions

    scoped = replace(requester, principal=replace(requester.principal, workflows=frozenset({"other"})))
    with pytest.raises(NotFound):
        await runs.start(plane, scoped, "Waits", runs.StartRequest(input=1))
    async with writing(plane.engine) as session:
        await session.execute(text(WITHDRAWN["the kill switch of its workflow"]))
    with pytest.raises(Conflict, match="disabled by its kill switch"):
        await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))

    async with reading(plane.engine) as session:
        assert len(await db_commands.newest(session, scope=EVERY_WORKFLOW, limit=10, kind=["run.start"])) == 1


async def test_repeating_a_request_after_the_death_of_the_api_returns_the_same_run(plane: ControlPlane, monkeypatch):
    await catalog(plane)
    requester = caller(idempotency_key="k", body={"input": 1})

    async def dies(plane, command, **about):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runs, "deliver_start", dies)
        with pytest.raises(Killed):
            await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    again = await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    assert again.replayed
    with pytest.raises(IdempotencyConflict):
        await runs.start(plane, caller(idempotency_key="k", body={"input": 2}), "Waits", runs.StartRequest(input=2))
    async with reading(plane.engine) as session:
        assert len(await db_runs.newest(session, filters=RunFilter(), scope=EVERY_WORKFLOW, limit=10)) == 1


@pytest.mark.parametrize(("days", "same"), [(29, True), (31, False)])
async def test_an_idempotency_key_is_valid_for_thirty_days(plane: ControlPlane, days: int, same: bool):
    await catalog(plane)
    requester = caller(idempotency_key="k", body={"input": 1})
    first = await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    async with writing(plane.engine) as session:
        await session.execute(text(f"UPDATE commands SET created_at = now() - interval '{days} days'"))
    second = await runs.start(plane, requester, "Waits", runs.StartRequest(input=1))
    assert (second.replayed, second.run_id == first.run_id) == (same, same)


async def test_a_start_that_temporal_refuses_permanently_becomes_a_failed_run(plane: ControlPlane):
    await catalog(plane, task_queue="q" * 2000)
    with pytest.raises(InvalidInput) as raised:
        await runs.start(plane, caller(), "Waits", runs.StartRequest(input=1))
    refused = await command_of(plane, raised.value.command_id)
    assert (refused.status, refused.outcome["code"]) == (CommandStatus.REFUSED, "invalid_input")
    async with reading(plane.engine) as session:
        run = await db_runs.get(session, refused.run_id)
        events = [event for event, _ in await feed.after(session, 0, scope=EVERY_WORKFLOW, limit=10)]
    assert (run.status, run.error["type"]) == ("failed", "StartRefused")
    assert run.closed_at is not None
    assert [(event.kind, event.data["status"]) for event in events if event.kind != "command"] == [
        ("run", "queued"),
        ("run", "failed"),
        ("end", "failed"),
    ]


async def test_settling_does_not_overwrite_a_faster_projector(plane: ControlPlane):
    async with writing(plane.engine) as session:
        command = await commands.new(session, caller(), CommandKind.RUN_CANCEL)
        await commands.record(session, caller(), command)
    async with writing(plane.engine) as session:
        await session.execute(text("UPDATE commands SET status = 'applied'"))
    await commands.settle(plane, command, CommandStatus.DELIVERED)
    assert (await command_of(plane, command.command_id)).status == CommandStatus.APPLIED


async def test_concurrent_loops_claim_each_command_once(plane: ControlPlane):
    async with writing(plane.engine) as session:
        for _ in range(30):
            command = await commands.new(session, caller(), CommandKind.RUN_CANCEL)
            await commands.record(session, caller(), command)
    await make_due(plane)

    async def claim():
        async with writing(plane.engine) as session:
            return await db_commands.claim_due(session, limit=10, lease=timedelta(seconds=30))

    claimed = [command.command_id for batch in await asyncio.gather(*(claim() for _ in range(5))) for command in batch]
    assert len(claimed) == len(set(claimed)) == 30


async def test_a_postponed_command_has_the_reason_and_is_due_later(plane: ControlPlane):
    async with writing(plane.engine) as session:
        command = await commands.new(session, caller(), CommandKind.RUN_CANCEL)
        await commands.record(session, caller(), command)
    await commands.postpone(plane, command, Unavailable("away", retry_after_seconds=5))
    async with writing(plane.engine) as session:
        assert await db_commands.claim_due(session, limit=10, lease=timedelta(seconds=1)) == []
    later = await command_of(plane, command.command_id)
    assert (later.status, later.outcome) == ("pending", {"code": "unavailable", "message": "away"})


async def test_a_command_delivered_while_its_run_ends_is_superseded(plane: ControlPlane):
    """Temporal accepts a cancel for a run that has ended, and nothing in history would ever settle it."""
    run = factories.run()
    await factories.insert(plane.engine, run)
    async with writing(plane.engine) as session:
        command = await commands.new(session, caller(), CommandKind.RUN_CANCEL, run_id=run.run_id)
        await commands.record(session, caller(), command)
    async with writing(plane.engine) as ending:
        # As in the projector: the run's end and the commands that it settles are one transaction, which is still open.
        await ending.execute(text("UPDATE runs SET status = 'cancelled' WHERE run_id = :id"), {"id": run.run_id})
        settling = asyncio.create_task(commands.settle(plane, command, CommandStatus.DELIVERED, {}))
        await eventually(lambda: waits_for_a_lock(plane))
    await settling
    settled = await command_of(plane, command.command_id)
    assert (settled.status, settled.outcome) == ("superseded", {"run_status": "cancelled"})


async def waits_for_a_lock(plane: ControlPlane) -> bool:
    async with reading(plane.engine) as session:
        return bool(await session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))
