"""A kind of command is one record and a send function: two invented kinds, added as for a new noun, pass through everything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import StrEnum
from types import SimpleNamespace

import asyncpg
import pytest
import temporalio.api.workflowservice.v1 as service
from sqlalchemy import text
from temporalio.api.enums.v1 import EventType
from temporalio.api.schedule.v1 import Schedule, ScheduleAction

from agentgrid.control import commands, delivery, runs
from agentgrid.control.plane import ControlPlane
from agentgrid.control.rpc import DEADLINE, call_temporal
from agentgrid.db import commands as db_commands
from agentgrid.db.session import reading, writing
from agentgrid.db.tables import Command
from agentgrid.domain.approvals import Verdict
from agentgrid.domain.commands import HANDLING, CommandKind, CommandStatus, ConfirmedBy, Handling, Target, Words
from agentgrid.domain.effects import Effect
from agentgrid.domain.ids import new_id
from agentgrid.errors import Conflict, Unavailable
from agentgrid.projector.fold.row_changes import Settlement
from agentgrid.projector.store import effects
from agentgrid.temporal import rpc
from agentgrid.temporal.client import connect
from tests.api import factories
from tests.control.conftest import caller


class Kind(StrEnum):
    """Stands in for members of `CommandKind`."""

    TIMETABLE_PUT = "timetable.put"
    RUN_NUDGE = "run.nudge"


async def send_timetable(plane: ControlPlane, command: Command) -> dict[str, str]:
    """Create a Temporal schedule: no run's history shows it, so only the response confirms it."""
    schedule = Schedule(action=ScheduleAction())
    schedule.action.start_workflow.workflow_id = command.target or ""
    schedule.action.start_workflow.workflow_type.name = "Waits"
    schedule.action.start_workflow.task_queue.name = "nobody"
    schedule.state.paused = True
    request = service.CreateScheduleRequest(
        namespace=plane.settings.temporal_namespace,
        schedule_id=command.target or "",
        schedule=schedule,
        request_id=command.command_id,
    )
    await call_temporal(plane.temporal.workflow_service.create_schedule(request, timeout=DEADLINE))
    return {"schedule_id": command.target or ""}


async def send_nudge(plane: ControlPlane, command: Command) -> dict[str, str]:
    """Signal the run, which its history shows."""
    await call_temporal(
        rpc.signal(
            plane.temporal,
            workflow_id=command.run_id or "",
            execution_id=None,
            name="nudge",
            payloads=[],
            request_id=command.command_id,
        )
    )
    return {}


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Words(paths=(("title",),))
    timetable = Handling(confirmed_by=ConfirmedBy.ANSWER, target=Target.NAMED, queued=True, words=words)
    monkeypatch.setitem(HANDLING, Kind.TIMETABLE_PUT, timetable)
    monkeypatch.setitem(HANDLING, Kind.RUN_NUDGE, Handling(confirmed_by=ConfirmedBy.HISTORY, target=Target.RUN))
    monkeypatch.setitem(delivery.DELIVERERS, Kind.TIMETABLE_PUT, send_timetable)
    monkeypatch.setattr(db_commands, "_ASKED", db_commands._asking())  # built at import, from the kinds at that time
    monkeypatch.setitem(delivery.DELIVERERS, Kind.RUN_NUDGE, send_nudge)


@pytest.fixture
def name() -> str:
    return f"timetable-{new_id()}"


@pytest.fixture
async def run_id(plane: ControlPlane) -> str:
    await factories.insert(plane.engine, *factories.workflow("Waits", {}))
    return (await runs.start(plane, caller(), "Waits", runs.StartRequest(input=1))).run_id


@pytest.fixture
async def away(plane: ControlPlane) -> AsyncIterator[ControlPlane]:
    """The same control plane, but Temporal's address is unreachable."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        settings = plane.settings.model_copy(update={"temporal_address": address})
        yield replace(plane, temporal=await connect(settings, lazy=True))


async def recorded(plane: ControlPlane, kind: Kind, **about: object) -> Command:
    """A command that is committed but not yet delivered."""
    async with writing(plane.engine) as session:
        command = await commands.new(session, caller(), kind, **about)
        await commands.record(session, caller(), command)
    return command


async def delivered(plane: ControlPlane, kind: Kind, **about: object) -> Command:
    """Record and deliver a command, as a request does."""
    return await commands.deliver(plane, await recorded(plane, kind, **about), delivery.DELIVERERS[kind])


async def make_due(plane: ControlPlane) -> None:
    async with writing(plane.engine) as session:
        await session.execute(text("UPDATE commands SET next_attempt_at = now() WHERE status = 'pending'"))


async def projected(
    plane: ControlPlane, run_id: str, shown: Settlement | None = None, *, status: str = "running"
) -> None:
    """Write what the projector would for a batch whose history shows this command, and in which the run gets this status."""
    # The projector's connections read and write JSON as text.
    connection = await asyncpg.connect(plane.settings.require_database())
    try:
        batch = SimpleNamespace(db=connection, items=[])
        before, after = {run_id: {"status": "running"}}, {run_id: {"status": status}}
        await effects.settle(batch, {} if shown is None else {run_id: shown}, before, after)
    finally:
        await connection.close()


def nudged(command: Command) -> Settlement:
    return Settlement(
        command_id=command.command_id, kind=Kind.RUN_NUDGE, status=CommandStatus.APPLIED, outcome={"event_id": 2}
    )


async def test_a_command_confirmed_by_temporals_response_is_applied_immediately(plane: ControlPlane, name: str):
    command = await delivered(plane, Kind.TIMETABLE_PUT, target=name, body={"title": "Nightly"})
    assert (command.status, command.outcome) == ("applied", {"schedule_id": name})
    assert None not in (command.delivered_at, command.settled_at)
    assert (await plane.temporal.get_schedule_handle(name).describe()).id == name
    async with reading(plane.engine) as session:
        assert await db_commands.asked(session, [command.command_id]) == {command.command_id: "Nightly"}
        assert await db_commands.seen(session, command.command_id, scope=frozenset({"no workflow"})) is not None


async def test_a_command_confirmed_by_history_is_delivered_and_then_applied_by_the_projector(
    plane: ControlPlane, run_id: str
):
    command = await delivered(plane, Kind.RUN_NUDGE, run_id=run_id)
    assert (command.status, command.settled_at) == ("delivered", None)

    await projected(plane, run_id, nudged(command))

    applied = await commands.get(plane, command.command_id)
    assert (applied.status, applied.outcome) == ("applied", {"event_id": 2})
    async with reading(plane.engine) as session:
        assert await db_commands.seen(session, command.command_id, scope=frozenset({"Waits"})) is not None
        assert await db_commands.seen(session, command.command_id, scope=frozenset({"no workflow"})) is None


async def test_only_commands_confirmed_by_history_are_superseded_when_their_run_ends(
    plane: ControlPlane, run_id: str, name: str
):
    late = await delivered(plane, Kind.RUN_NUDGE, run_id=run_id)
    answered = await delivered(plane, Kind.TIMETABLE_PUT, run_id=run_id, target=name)
    await projected(plane, run_id, status="completed")
    assert (await commands.get(plane, late.command_id)).status == "superseded"
    assert (await commands.get(plane, answered.command_id)).status == "applied"

    # The same holds if the run ends before the delivery is recorded.
    async with writing(plane.engine) as session:
        await session.execute(text("UPDATE runs SET status = 'completed' WHERE run_id = :id"), {"id": run_id})
    assert (await delivered(plane, Kind.RUN_NUDGE, run_id=run_id)).status == "superseded"
    assert (await delivered(plane, Kind.TIMETABLE_PUT, run_id=run_id, target=f"{name}-2")).status == "applied"


async def test_a_command_refused_by_temporal_has_the_reason(plane: ControlPlane, name: str):
    await delivered(plane, Kind.TIMETABLE_PUT, target=name)
    with pytest.raises(Conflict) as raised:
        await delivered(plane, Kind.TIMETABLE_PUT, target=name)
    refused = await commands.get(plane, raised.value.command_id)
    assert (refused.status, refused.outcome["code"], refused.target) == ("refused", "conflict", name)


async def test_while_temporal_is_unreachable_queued_kinds_wait_and_others_fail(
    plane: ControlPlane, away: ControlPlane, run_id: str, name: str
):
    waiting = await delivered(away, Kind.TIMETABLE_PUT, target=name)
    assert (waiting.status, waiting.outcome["code"]) == ("pending", "unavailable")
    with pytest.raises(Unavailable) as raised:
        await delivered(away, Kind.RUN_NUDGE, run_id=run_id)
    assert (await commands.get(plane, raised.value.command_id)).status == "failed"

    await make_due(plane)
    await delivery.deliver_due(away)
    assert (await commands.get(plane, waiting.command_id)).status == "pending"
    await make_due(plane)
    await delivery.deliver_due(plane)
    assert (await commands.get(plane, waiting.command_id)).status == "applied"


@pytest.mark.parametrize("sent", [False, True])
async def test_a_process_that_dies_after_the_commit_neither_loses_nor_repeats_a_command(
    plane: ControlPlane, run_id: str, name: str, sent: bool
):
    """Whether or not it already sent the command: the command is sent again with the same request id."""
    timetable = await recorded(plane, Kind.TIMETABLE_PUT, target=name)
    nudge = await recorded(plane, Kind.RUN_NUDGE, run_id=run_id)
    if sent:
        await asyncio.gather(send_timetable(plane, timetable), send_nudge(plane, nudge))
    await make_due(plane)
    await delivery.deliver_due(plane)

    assert (await commands.get(plane, timetable.command_id)).status == "applied"
    assert (await commands.get(plane, nudge.command_id)).status == "delivered"
    history = await plane.temporal.get_workflow_handle(run_id).fetch_history()
    signals = [event.event_type for event in history.events].count(EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
    assert signals == 1


@pytest.fixture
def shipped(kinds: None) -> dict[str, Handling]:
    """The records of AgentGrid's own kinds."""
    return {kind: handling for kind, handling in HANDLING.items() if kind not in set(Kind)}


def test_every_kind_has_a_record_and_every_kind_that_is_sent_has_a_send_function(shipped: dict[str, Handling]):
    assert set(shipped) == set(CommandKind)
    assert set(delivery.DELIVERERS) - set(Kind) == {kind for kind, handling in shipped.items() if handling.sent}
    assert not [kind for kind, handling in shipped.items() if handling.queued and not handling.sent]


def test_the_audit_words_of_verdicts_and_effects_match_their_enums(shipped: dict[str, Handling]):
    among = {kind: handling.words.among for kind, handling in shipped.items() if handling.words is not None}
    assert among[CommandKind.APPROVAL_DECIDE] == set(Verdict)
    assert among[CommandKind.TOOL_POLICY] == among[CommandKind.POLICY_PUT] == set(Effect)
    assert among[CommandKind.RUN_SIGNAL] is None
