"""Runs of real Temporal schedules, with a memo that AgentGrid signed for the schedule, and with copies of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as service
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio import workflow
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from agentgrid.control.signing import Signer
from agentgrid.domain.ids import new_id
from agentgrid.domain.memos import ScheduleMemo
from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.projector.store import Store
from agentgrid.protocol import MEMO, SCHEDULED_BY
from agentgrid.settings import Settings
from agentgrid.temporal.payloads import input_digest
from agentgrid.testing import Governance
from tests.projector.conftest import Tables, projecting, snapshot, truncate, unique
from tests.projector.test_governed import governance, queue, signer

__all__ = ["governance", "queue", "signer"]

UNKNOWN = ("unknown", "external")


def memo_of(client: Client, schedule_id: str, queue: str, case: str, **changed: Any) -> ScheduleMemo:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "namespace": client.namespace,
        "schedule_id": schedule_id,
        "workflow_id": f"gated-{schedule_id}",
        "workflow": "gated",
        "task_queue": queue,
        "input_digest": input_digest(client.data_converter.payload_converter.to_payloads([case])),
        "not_before": now - timedelta(minutes=1),
        "expires_at": now + timedelta(days=30),
        "initiator": "operator",
        "command_id": new_id(),
        "reference": "nightly",
        "tags": ("a", "b"),
        "template": "report",
        "template_version": 2,
    }
    return ScheduleMemo(**(fields | changed))


async def trigger(
    client: Client, schedule_id: str, memo: ScheduleMemo, case: str, *, actual: ScheduleMemo | None = None
) -> str:
    """Create the schedule with this memo, let it start one run, and return the run's workflow id. actual: its action, if not the memo's."""
    action = actual or memo
    handle = await client.create_schedule(
        schedule_id,
        Schedule(
            action=ScheduleActionStartWorkflow(
                action.workflow,
                case,
                id=action.workflow_id,
                task_queue=action.task_queue,
                memo={MEMO: memo.model_dump(mode="json", exclude_none=True)},
            ),
            spec=ScheduleSpec(),
            state=ScheduleState(paused=True),
        ),
        trigger_immediately=True,
    )
    async with asyncio.timeout(60):
        while not (started := (await handle.describe()).info.recent_actions):
            await asyncio.sleep(0.05)
    await handle.delete()
    return started[0].action.workflow_id


async def test_a_schedules_run_has_its_initiator_in_the_projection_and_in_the_terms(
    settings: Settings,
    store: Store,
    signer: Signer,
    client: Client,
    queue: str,
    tables: Tables,
    governance: Governance,
) -> None:
    """Also after a rebuild and after a revocation of the key, if a command about the schedule confirms the memo and the run started before.

    A run with a forged memo has no initiator in either place.
    """
    governance.change(public_keys=governance.snapshot.public_keys | {signer.key_id: signer.public_key})
    schedule_id = unique("nightly")
    memo = memo_of(client, schedule_id, queue, "refund")
    await store.pool.execute(
        "INSERT INTO commands (command_id, kind, status, principal, target) VALUES ($1, 'schedule.put', 'applied', $2, $3)",
        memo.command_id,
        memo.initiator,
        schedule_id,
    )
    thief = Signer.of(Ed25519PrivateKey.generate())
    stolen = memo_of(client, unique("forged"), queue, "refund", initiator="cfo")
    forged = thief.schedule_memo(stolen).model_copy(update={"key_id": signer.key_id})
    unconfirmed = memo_of(client, unique("stolen"), queue, "local")
    async with projecting(settings):
        workflow_id = await trigger(client, schedule_id, signer.schedule_memo(memo), "refund")
        other_id = await trigger(client, unconfirmed.schedule_id, signer.schedule_memo(unconfirmed), "local")
        run = await tables.run_in(workflow_id, "waiting")
        other = await tables.run_in(other_id, "completed")
        handle = client.get_workflow_handle(workflow_id)
        (terms,) = await governance.pending(handle)
        await governance.approve(handle)
        await handle.result()
        await tables.run_in(workflow_id, "completed")
        forged_id = await trigger(client, forged.schedule_id, forged, "refund")
        foreign = await tables.run_in(forged_id, "waiting")
        forged_handle = client.get_workflow_handle(forged_id)
        (foreign_terms,) = await governance.pending(forged_handle)
        await governance.approve(forged_handle)
        await forged_handle.result()
        await tables.run_in(forged_id, "completed")
    assert workflow_id.startswith(memo.workflow_id + "-")
    assert (run["run_id"], run["root_run_id"]) == (run["execution_id"], run["execution_id"])
    assert (run["initiator"], run["trigger"], run["command_id"]) == ("operator", "schedule", memo.command_id)
    assert (run["reference"], run["tags"], run["template_version"]) == ("nightly", ["a", "b"], 2)
    assert terms.initiator == "operator"
    assert (foreign["initiator"], foreign["trigger"], foreign_terms.initiator) == (*UNKNOWN, None)
    assert (other["initiator"], other["trigger"]) == ("operator", "schedule")

    before = await snapshot(tables)
    await truncate(tables)
    await rebuild_projection(settings)
    assert await snapshot(tables) == before
    await store.pool.execute("UPDATE signing_keys SET revoked_at = now()")
    await rebuild_projection(settings)
    after = {row["run_id"]: (row["initiator"], row["trigger"]) for row in (await snapshot(tables))["runs"]}
    assert after == {run["run_id"]: ("operator", "schedule"), other["run_id"]: UNKNOWN, foreign["run_id"]: UNKNOWN}
    # Someone who stole the key could sign such memos for any start, so those after the revocation don't count.
    await store.pool.execute("UPDATE signing_keys SET revoked_at = $1::text::timestamptz", run["created_at"])
    await rebuild_projection(settings)
    late = {row["run_id"]: (row["initiator"], row["trigger"]) for row in (await snapshot(tables))["runs"]}
    assert late == dict.fromkeys(after, UNKNOWN)


@workflow.defn(name="gated", sandboxed=False)
class Copying:
    """A hostile workflow under the name of an honest one."""

    @workflow.run
    async def run(self, case: str) -> str:
        return case


@workflow.defn(name="starts-a-copy", sandboxed=False)
class StartsACopy:
    """Starts a child with the given memo."""

    @workflow.run
    async def run(self, memo: dict[str, Any], case: str) -> None:
        await workflow.execute_child_workflow(
            "gated",
            case,
            id=f"{memo['workflow_id']}-2026-05-01T12:00:00Z",
            task_queue=memo["task_queue"],
            memo={MEMO: memo},
        )


@pytest.fixture
async def hostile(client: Client) -> Any:
    name = unique("hostile")
    async with Worker(
        client, task_queue=name, workflows=[Copying, StartsACopy], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        yield name


async def start_copy(
    client: Client, memo: ScheduleMemo, workflow_id: str, case: str, *, scheduled_by: str | None = None
) -> str:
    """Start a workflow with the memo, as anyone with access to Temporal can. Returns its workflow id."""
    request = service.StartWorkflowExecutionRequest(
        namespace=client.namespace, workflow_id=workflow_id, request_id=new_id(), identity="temporal-scheduler"
    )
    request.workflow_type.name, request.task_queue.name = memo.workflow, memo.task_queue
    encode = client.data_converter.encode
    request.input.payloads.extend(await encode([case]))
    request.memo.fields[MEMO].CopyFrom((await encode([memo.model_dump(mode="json", exclude_none=True)]))[0])
    if scheduled_by is not None:
        (payload,) = await encode([scheduled_by])
        payload.metadata["type"] = b"Keyword"
        request.search_attributes.indexed_fields[SCHEDULED_BY].CopyFrom(payload)
    await client.workflow_service.start_workflow_execution(request)
    return workflow_id


async def test_a_copied_or_expired_memo_of_a_schedule_is_unattributed(
    projector: asyncio.Task[None], signer: Signer, client: Client, hostile: str, tables: Tables
) -> None:
    schedule_id = unique("mine")
    memo = signer.schedule_memo(memo_of(client, schedule_id, hostile, "once"))
    other = unique("theirs")
    past = datetime.now(UTC) - timedelta(days=2)
    old = {"not_before": past, "expires_at": past + timedelta(days=1)}
    expired = memo_of(client, unique("expired"), hostile, "once", **old)
    when = "2026-05-01T12:00:00Z"
    started = {
        "another schedule": await trigger(client, other, memo, "once"),
        "another input": await trigger(client, schedule_id, memo, "twice"),
        "another workflow": await trigger(
            client, unique("x"), memo, "once", actual=memo.model_copy(update={"workflow": "starts-a-copy"})
        ),
        "expired": await trigger(client, expired.schedule_id, signer.schedule_memo(expired), "once"),
        "no schedule": await start_copy(client, memo, f"{memo.workflow_id}-{when}", "once"),
        "another workflow id": await start_copy(
            client, memo, f"{unique('y')}-{when}", "once", scheduled_by=schedule_id
        ),
    }
    attributed = {}
    for name, workflow_id in started.items():
        run = await tables.run_in(workflow_id, "completed", "waiting")
        attributed[name] = (run["initiator"], run["trigger"])
    assert attributed == dict.fromkeys(started, UNKNOWN)

    child = memo_of(client, unique("child"), hostile, "once")
    signed = signer.schedule_memo(child).model_dump(mode="json", exclude_none=True)
    await client.execute_workflow("starts-a-copy", args=[signed, "once"], id=unique("parent"), task_queue=hostile)
    run = await tables.run_in(f"{child.workflow_id}-{when}", "completed")
    assert (run["initiator"], run["trigger"]) == ("unknown", "child")
