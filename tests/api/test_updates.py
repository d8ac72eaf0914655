"""Updates: carried out once, whatever happens in between, with their outcome reported."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import text, update
from temporalio.client import Client

from agentgrid.control import api_keys, commands, delivery, principals, updates
from agentgrid.db.session import writing
from agentgrid.db.tables import Command
from agentgrid.domain.principals import Principal, PrincipalKind, Role
from tests.api.conftest import PRINCIPALS, SETUP, Api, eventually
from tests.api.messages import (
    ACCEPTED,
    ask,
    change,
    client,
    count,
    opened,
    queue,
    recorded,
    signal,
    talk,
    worker,
)

__all__ = ["client", "queue", "talk"]


async def test_an_update_is_carried_out_once_and_its_outcome_is_reported(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    first = await change(as_("operator"), run, "add", 3, key="k1")
    assert (first.status_code, first.json()["stage"], first.json()["handler"]) == (200, "completed", "declared")
    assert first.json()["result"]["value"] == 3
    again = await change(as_("operator"), run, "add", 3, key="k1")
    assert (again.status_code, again.json()["command_id"], again.json()["result"]["value"]) == (
        200,
        first.json()["command_id"],
        3,
    )
    other = await change(as_("operator"), run, "add", 4, key="k1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert await count(handle, ACCEPTED) == 1
    broken = await change(as_("operator"), run, "fail")
    assert (broken.status_code, broken.json()["stage"], broken.json()["result"]) == (200, "failed", None)
    assert "it broke in the middle" in broken.json()["error"]["message"]
    assert (await ask(as_("operator"), run, "total")).json()["result"]["value"] == 103


async def test_an_update_rejected_by_its_validator_changes_nothing_and_can_be_retried(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    refused = await change(as_("operator"), run, "add", -1, key="k2")
    assert (refused.status_code, refused.json()["code"]) == (409, "update_rejected")
    assert "-1 is negative" in refused.json()["detail"]
    assert (await change(as_("operator"), run, "add", -1, key="k2")).json()["code"] == "update_rejected"
    assert await count(handle, ACCEPTED) == 0
    audit = (await as_("auditor").get("/api/v1/commands", params={"run": run.run_id})).json()["items"]
    assert [(item["kind"], item["status"], item["what"]) for item in audit] == [("run.update", "refused", "add")] * 2
    known = await as_("auditor").get(f"/api/v1/runs/{run.run_id}/updates/{audit[0]['command_id']}")
    assert (known.status_code, known.json()["stage"], known.json()["error"]["type"]) == (
        200,
        "rejected",
        "update_rejected",
    )


async def test_an_update_whose_handler_waits_is_accepted_and_its_end_can_be_awaited_later(
    talk: Api, as_: Any, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    async with asyncio.timeout(10):
        waiting = await change(as_("operator"), run, "add_slowly", 5, wait=0.2)
    assert (waiting.status_code, waiting.json()["stage"], waiting.json()["command_status"]) == (
        202,
        "accepted",
        "delivered",
    )
    path = f"/api/v1/runs/{run.run_id}/updates/{waiting.json()['command_id']}"
    later = asyncio.create_task(as_("auditor").get(path, params={"wait": 20}))
    await signal(as_("operator"), run, "release")
    ended = await later
    assert (ended.status_code, ended.json()["stage"], ended.json()["result"]["value"]) == (200, "completed", 5)
    await handle.signal("end")
    await handle.result()
    assert (await as_("auditor").get(path)).json()["result"]["value"] == 5, "even after the run has ended"


async def deliver_now(api: Api, command_id: str, **values: Any) -> Command:
    """One delivery attempt of the background loop for this command, which is due."""
    async with writing(api.plane.engine) as session:
        # No other process takes it in between.
        later = {"next_attempt_at": text("now() + interval '1 hour'"), **values}
        await session.execute(update(Command).where(Command.command_id == command_id).values(**later))
    command = await commands.get(api.plane, command_id)
    await commands.redeliver(api.plane, command, delivery.DELIVERERS[command.kind])
    return await commands.get(api.plane, command_id)


async def test_an_update_without_a_worker_stays_pending_and_is_carried_out_once_when_one_starts(
    talk: Api, as_: Any, client: Client
) -> None:
    name = f"late-{uuid.uuid4().hex[:8]}"
    run, handle = await opened(talk, client, name)
    async with asyncio.timeout(15):
        response = await change(as_("operator"), run, "add", 7, key="k3")
    problem = response.json()
    assert (response.status_code, problem["outcome_unknown"]) == (504, True)
    assert "no worker polls its task queue" in problem["detail"]
    pending = await as_("operator").get(f"/api/v1/runs/{run.run_id}/updates/{problem['command_id']}")
    assert (pending.status_code, pending.json()["stage"]) == (202, "pending")
    async with worker(client, name):

        async def ended() -> bool:
            found = await change(as_("operator"), run, "add", 7, key="k3")
            return found.status_code == 200 and found.json()["result"]["value"] == 7

        await eventually(ended)
        settled = await deliver_now(talk, problem["command_id"])
        assert settled.status == "delivered"
        assert await count(handle, ACCEPTED) == 1


async def test_a_process_that_dies_between_command_and_delivery_loses_no_update(
    talk: Api, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    command = await recorded(talk, run, PRINCIPALS["operator"])
    for _ in range(2):  # the second attempt finds the first one's update
        assert (await deliver_now(talk, command.command_id, status="pending")).status == "delivered"
    assert await count(handle, ACCEPTED) == 1


async def test_a_pending_update_is_not_sent_if_its_principal_was_disabled_meanwhile(
    talk: Api, client: Client, queue: str
) -> None:
    leaver = Principal(name="leaver", kind=PrincipalKind.HUMAN, roles=frozenset({Role.OPERATOR}))
    await principals.put(talk.plane.engine, SETUP, leaver)
    key = await api_keys.create(talk.plane.engine, SETUP, principal="leaver", lifetime=timedelta(days=1))
    talk.tokens["leaver"] = key.secret
    run, handle = await opened(talk, client, queue)
    command = await recorded(talk, run, leaver)
    async with writing(talk.plane.engine) as session:
        await session.execute(text("UPDATE principals SET disabled_at = now() WHERE name = 'leaver'"))
    settled = await deliver_now(talk, command.command_id)
    assert (settled.status, settled.outcome["code"]) == ("refused", "forbidden")
    assert await count(handle, ACCEPTED) == 0


async def test_an_update_that_no_worker_took_in_ten_minutes_expires_and_keeps_its_idempotency_key(
    talk: Api, as_: Any, client: Client
) -> None:
    run, _ = await opened(talk, client, f"nobody-{uuid.uuid4().hex[:8]}")
    command = await recorded(talk, run, PRINCIPALS["operator"], idempotency_key="k4", body={})
    settled = await deliver_now(talk, command.command_id, created_at=text("now() - interval '11 minutes'"))
    assert (settled.status, settled.outcome["code"]) == ("failed", "update_expired")
    assert settled.idempotency_key == "k4", (
        "a worker may have it after all, so the same request must not be a second update"
    )
    known = await as_("operator").get(f"/api/v1/runs/{run.run_id}/updates/{command.command_id}")
    assert (known.status_code, known.json()["stage"]) == (200, "expired")


async def test_only_an_unaccepted_update_follows_its_run_through_continue_as_new(
    talk: Api, client: Client, queue: str
) -> None:
    run, handle = await opened(talk, client, queue)
    accepted = await recorded(talk, run, PRINCIPALS["operator"])
    assert (await deliver_now(talk, accepted.command_id)).status == "delivered"
    fresh = await recorded(talk, run, PRINCIPALS["operator"])
    await handle.signal("renew")
    current = client.get_workflow_handle(run.workflow_id)

    async def renewed() -> bool:
        return (await current.describe()).run_id != run.execution_id

    await eventually(renewed)
    moved = await deliver_now(talk, fresh.command_id)
    assert (moved.status, moved.execution_id) == ("delivered", (await current.describe()).run_id)
    again = await deliver_now(talk, accepted.command_id, status="pending")
    assert (again.status, again.execution_id) == ("delivered", run.execution_id)
    assert await current.query("total") == 1, "only the one that the first execution had not accepted"


async def test_a_waiting_update_does_not_delay_other_due_commands(talk: Api, as_: Any, client: Client) -> None:
    """Updates without a live worker must not delay a start or a decision."""
    run, _ = await opened(talk, client, f"nobody-{uuid.uuid4().hex[:8]}")
    command = await recorded(talk, run, PRINCIPALS["operator"])
    async with writing(talk.plane.engine) as session:
        due = update(Command).where(Command.command_id == command.command_id).values(next_attempt_at=text("now()"))
        await session.execute(due)
    beside: set[asyncio.Task[None]] = set()
    async with asyncio.timeout(updates.LATE_ACCEPT_SECONDS / 2):
        await delivery.deliver_due(talk.plane, beside)
    await asyncio.gather(*beside)
    assert (await commands.get(talk.plane, command.command_id)).status == "pending"
