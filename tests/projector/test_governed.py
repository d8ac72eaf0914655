"""Runs started by AgentGrid under its plugin: identity from the signed memo, approvals, and commands that the fold settles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import temporalio.api.workflowservice.v1 as service
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from agentgrid.control.signing import Signer
from agentgrid.domain.approvals import Verdict
from agentgrid.domain.effects import Effect
from agentgrid.domain.ids import new_id
from agentgrid.domain.policies import Rule
from agentgrid.projector.rebuild import rebuild_projection
from agentgrid.projector.store import Store
from agentgrid.protocol import (
    HEADER_RUN,
    MEMO,
    SIGNAL_CONTROL,
    SIGNAL_DECIDE,
    ControlSignal,
    RunHeader,
    RunMemo,
    to_payload,
)
from agentgrid.sdk.grid import Grid
from agentgrid.settings import Settings
from agentgrid.temporal import rpc
from agentgrid.testing import Governance
from tests.projector.conftest import Tables, projecting, snapshot, truncate, unique, until
from tests.projector.record import completed_tasks, reset
from tests.worker import gated

ASK = Rule(rule_id="ask", tool="refund", effect=Effect.REQUIRE_APPROVAL, expires_seconds=60)
Handle = WorkflowHandle[Any, Any]


@pytest.fixture
def governance() -> Governance:
    return Governance(rules=[ASK])


@pytest.fixture
async def signer(store: Store) -> Signer:
    signer = Signer.of(Ed25519PrivateKey.generate())
    await store.pool.execute(
        "INSERT INTO signing_keys (key_id, public_key) VALUES ($1, $2)", signer.key_id, signer.public_key
    )
    return signer


@pytest.fixture
async def queue(client: Client, settings: Settings, governance: Governance) -> AsyncIterator[str]:
    name = unique("governed")
    plugin = governance.plugin(Grid("gated", gated), settings=settings)
    async with Worker(client, task_queue=name, activities=[gated.plain], plugins=[plugin]):
        yield name


async def deliver(store: Store, kind: str, run_id: str) -> str:
    """Insert a delivered command, and return its id."""
    command_id = new_id()
    await store.pool.execute(
        "INSERT INTO commands (command_id, kind, status, principal, run_id) VALUES ($1, $2, 'delivered', 'operator', $3)",
        command_id,
        kind,
        run_id,
    )
    return command_id


async def command(tables: Tables, command_id: str) -> dict[str, Any]:
    return (await tables.rows("SELECT * FROM commands WHERE command_id = $1", command_id))[0]


async def start(client: Client, queue: str, case: str, memo: RunMemo, *, workflow_id: str | None = None) -> Handle:
    request = service.StartWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_id=workflow_id or memo.run_id,
        request_id=memo.command_id,
        identity=f"agentgrid:{memo.command_id}",
    )
    request.workflow_type.name = "gated"
    request.task_queue.name = queue
    converter = client.data_converter
    request.input.payloads.extend(await converter.encode([case]))
    request.memo.fields[MEMO].CopyFrom((await converter.encode([memo.model_dump(mode="json", exclude_none=True)]))[0])
    request.header.fields[HEADER_RUN].CopyFrom(to_payload(RunHeader(tree=memo.run_id, initiator=memo.initiator)))
    answer = await client.workflow_service.start_workflow_execution(request)
    return client.get_workflow_handle(request.workflow_id, run_id=answer.run_id)


async def queued(store: Store, run_id: str, queue: str, command_id: str) -> None:
    await store.pool.execute(
        "INSERT INTO runs (run_id, namespace, workflow_id, workflow, task_queue, status, initiator, trigger, command_id, "
        "root_run_id, created_at) SELECT $1, $4, $1, 'gated', $2, 'queued', 'operator', 'api', $3, $1, created_at "
        "FROM commands WHERE command_id = $3",
        run_id,
        queue,
        command_id,
        store.namespace,
    )


async def begin(store: Store, signer: Signer, client: Client, queue: str, case: str) -> tuple[str, str, Handle]:
    run_id = new_id()
    command_id = await deliver(store, "run.start", run_id)
    await queued(store, run_id, queue, command_id)
    memo = signer.memo(
        RunMemo(run_id=run_id, initiator="operator", command_id=command_id, reference="T-1", tags=("a", "b"))
    )
    return run_id, command_id, await start(client, queue, case, memo)


async def test_a_signed_memo_joins_the_queued_run_and_settles_its_start_command(
    projector: asyncio.Task[None],
    store: Store,
    signer: Signer,
    client: Client,
    queue: str,
    tables: Tables,
    governance: Governance,
) -> None:
    await store.pool.execute(
        "INSERT INTO tool_versions (name, version, title, asks, input_schema) VALUES ('refund', $1, 'Refund', $2, $3) "
        "ON CONFLICT (name, version) DO UPDATE SET asks = excluded.asks, input_schema = excluded.input_schema",
        gated.refund.version,
        "Refund {cents} for {order}",
        json.dumps({"properties": {"cents": {"x-unit": "cents", "x-currency": "USD"}}}),
    )
    (flow,) = [workflow for workflow in Grid("gated", gated).workflows if workflow.spec.name == "gated"]
    await store.pool.execute(
        "INSERT INTO workflow_versions (name, version, input_schema, build, subject) VALUES ('gated', $1, '{}', $2, 'A case') "
        "ON CONFLICT (name, version) DO UPDATE SET subject = excluded.subject",
        flow.version,
        Grid("gated", gated).digest,
    )
    run_id, command_id, handle = await begin(store, signer, client, queue, "refund")
    run = await tables.run_in(handle.id, "waiting")
    assert (run["run_id"], run["waiting_on"], run["approvals_pending"]) == (run_id, "approval", 1)
    assert (run["version"], run["subject"]) == (flow.version, "A case")
    assert (run["current_step"], run["asked"]) == ("Refund an order", "Refund 9.00 USD for order")
    assert (run["initiator"], run["trigger"], run["reference"], run["tags"]) == ("operator", "api", "T-1", ["a", "b"])
    assert run["governed"] is True
    assert run["build"]
    # One event opens the approval, a later one makes it decidable.
    (approval,) = await until(lambda: tables.rows("SELECT * FROM approvals WHERE run_id = $1 AND decidable", run_id))
    assert approval["payload"]["value"] == {"order": "order", "cents": 900}
    assert approval["initiator"] == "operator"
    start_command = await command(tables, command_id)
    assert start_command["status"] == "applied"
    assert start_command["outcome"] == {"execution_id": run["execution_id"]}

    # As if an earlier version had started it.
    await store.pool.execute("UPDATE runs SET version = 'earlier', subject = 'Of an earlier version'")
    (terms,) = await governance.pending(handle)
    await store.pool.executemany(
        "INSERT INTO signing_keys (key_id, public_key) VALUES ($1, $2)", list(terms.keys.items())
    )
    decide = await deliver(store, "approval.decide", run_id)
    late = await deliver(store, "approval.decide", run_id)
    for nonce, verdict in ((decide, Verdict.APPROVED), (late, Verdict.REJECTED)):
        signed = governance.decide(terms, verdict, nonce=nonce)
        await store.pool.execute(
            "UPDATE commands SET principal = 'reviewer', body = $2::json WHERE command_id = $1",
            nonce,
            json.dumps({"signed": signed.model_dump(mode="json")}),
        )
        await rpc.signal(
            client,
            workflow_id=handle.id,
            execution_id=terms.execution_id,
            name=SIGNAL_DECIDE,
            payloads=[to_payload(signed)],
            request_id=nonce,
        )
    assert await handle.result() == "refunded 900"
    run = await tables.run_in(handle.id, "completed")
    assert (run["tools"], run["asked"]) == (["refund"], None)
    assert (run["version"], run["subject"]) == (flow.version, "A case")
    (step,) = await tables.steps(run_id)
    assert (step["kind"], step["status"], step["attempts"]) == ("tool", "completed", 1)
    assert step["output"]["value"] == {"result": "refunded 900"}
    (approval,) = await tables.rows("SELECT * FROM approvals WHERE run_id = $1", run_id)
    assert (approval["status"], approval["decided_by"], approval["command_id"]) == ("approved", "reviewer", decide)
    assert (approval["title"], approval["asked"]) == ("Refund an order", "Refund 9.00 USD for order")
    assert (await command(tables, decide))["status"] == "applied"
    assert (await command(tables, late))["status"] == "superseded"


async def test_a_forged_memo_is_ignored(
    projector: asyncio.Task[None], store: Store, signer: Signer, client: Client, queue: str, tables: Tables
) -> None:
    stranger = Signer.of(Ed25519PrivateKey.generate())
    run_id = new_id()
    forged = stranger.memo(RunMemo(run_id=run_id, initiator="someone-else", command_id=new_id()))
    handle = await start(client, queue, "local", forged.model_copy(update={"key_id": signer.key_id}))
    await handle.result()
    run = await tables.run_in(handle.id, "completed")
    assert (run["run_id"], run["initiator"], run["trigger"]) == (handle.run_id, "unknown", "external")

    copied = signer.memo(RunMemo(run_id=run_id, initiator="operator", command_id=new_id()))
    handle = await start(client, queue, "local", copied, workflow_id=unique("copied"))
    await handle.result()
    run = await tables.run_in(handle.id, "completed")
    assert run["initiator"] == "unknown"


async def test_r31_a_counted_decision_is_applied_even_if_its_retry_was_refused(
    projector: asyncio.Task[None],
    store: Store,
    signer: Signer,
    client: Client,
    queue: str,
    tables: Tables,
    governance: Governance,
) -> None:
    """Temporal accepted it, but the response was lost. The principal was disabled before the retry, so the command was refused."""
    run_id, _, handle = await begin(store, signer, client, queue, "refund")
    (terms,) = await governance.pending(handle)
    await store.pool.executemany(
        "INSERT INTO signing_keys (key_id, public_key) VALUES ($1, $2)", list(terms.keys.items())
    )
    decide = await deliver(store, "approval.decide", run_id)
    signed = governance.decide(terms, Verdict.APPROVED, nonce=decide)
    await store.pool.execute(
        "UPDATE commands SET principal = 'reviewer', body = $2::json, status = 'refused', settled_at = now() WHERE command_id = $1",
        decide,
        json.dumps({"signed": signed.model_dump(mode="json")}),
    )
    await rpc.signal(
        client,
        workflow_id=handle.id,
        execution_id=terms.execution_id,
        name=SIGNAL_DECIDE,
        payloads=[to_payload(signed)],
        request_id=decide,
    )
    await tables.run_in(handle.id, "completed")
    (approval,) = await tables.rows("SELECT * FROM approvals WHERE run_id = $1", run_id)
    assert (approval["status"], approval["decided_by"], approval["command_id"]) == ("approved", "reviewer", decide)
    decision = await command(tables, decide)
    assert decision["status"] == "applied"
    assert decision["outcome"]["judged"] == "counted"


async def test_r6_a_run_keeps_its_initiator_when_the_key_that_signed_its_memo_is_revoked(
    settings: Settings, store: Store, signer: Signer, client: Client, queue: str, tables: Tables
) -> None:
    """A command confirms each memo that the API signed, before or after the revocation. No command confirms a memo signed with a stolen key."""
    async with projecting(settings):
        run_id, _, handle = await begin(store, signer, client, queue, "local")
        await handle.result()
        await tables.run_in(handle.id, "completed")
    before = await snapshot(tables)
    await store.pool.execute("UPDATE signing_keys SET revoked_at = now()")

    await rebuild_projection(settings)
    assert await snapshot(tables) == before
    await truncate(tables)
    await rebuild_projection(settings)
    (run,) = (await snapshot(tables))["runs"]
    assert (run["run_id"], run["initiator"], run["trigger"], run["reference"]) == (run_id, "operator", "api", "T-1")

    stolen = signer.memo(RunMemo(run_id=new_id(), initiator="operator", command_id=new_id()))
    async with projecting(settings):
        run_id, command_id, handle = await begin(store, signer, client, queue, "local")
        run = await tables.run_in(handle.id, "completed")
        assert (run["run_id"], run["initiator"]) == (run_id, "operator")
        assert (await command(tables, command_id))["status"] == "applied"
        forged = await start(client, queue, "local", stolen)
        run = await tables.run_in(forged.id, "completed")
        assert (run["run_id"], run["initiator"], run["trigger"]) == (forged.run_id, "unknown", "external")


async def test_an_unknown_trigger_of_a_later_version_is_shown_as_other(
    projector: asyncio.Task[None], signer: Signer, client: Client, queue: str, tables: Tables
) -> None:
    for trigger, shown in (("by-carrier-pigeon", "other"), ("schedule", "schedule"), (None, "api")):
        memo = RunMemo(run_id=new_id(), initiator="operator", command_id=new_id(), trigger=trigger)
        handle = await start(client, queue, "local", signer.memo(memo))
        run = await tables.run_in(handle.id, "completed")
        assert (run["run_id"], run["initiator"], run["trigger"]) == (memo.run_id, "operator", shown)


async def test_pause_resume_and_cancel_settle_their_commands(
    projector: asyncio.Task[None], store: Store, signer: Signer, client: Client, queue: str, tables: Tables
) -> None:
    run_id, _, handle = await begin(store, signer, client, queue, "forever")
    await tables.run_in(handle.id, "waiting")
    for action, status in (("pause", "paused"), ("resume", "waiting")):
        command_id = await deliver(store, f"run.{action}", run_id)
        await rpc.signal(
            client,
            workflow_id=handle.id,
            execution_id=handle.run_id,
            name=SIGNAL_CONTROL,
            payloads=[to_payload(ControlSignal(action=action, principal="operator", command_id=command_id))],
            request_id=command_id,
        )
        await tables.run_in(handle.id, status)
        assert (await command(tables, command_id))["status"] == "applied"
    cancel = await deliver(store, "run.cancel", run_id)
    too_late = await deliver(store, "run.terminate", run_id)
    await client.workflow_service.request_cancel_workflow_execution(
        service.RequestCancelWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            identity=f"agentgrid:{cancel}",
            request_id=cancel,
        )
    )
    await tables.run_in(handle.id, "cancelled")
    assert (await command(tables, cancel))["status"] == "applied"
    superseded = await command(tables, too_late)
    assert (superseded["status"], superseded["outcome"]) == ("superseded", {"run_status": "cancelled"})


async def test_a_touch_projects_a_governed_run_long_before_any_sweep(
    settings: Settings, store: Store, client: Client, queue: str, tables: Tables
) -> None:
    async with projecting(settings, sweep=600):
        # The first sweep runs immediately; runs that start after it are found by touches only.
        await tables.rows("SELECT 1")
        await asyncio.sleep(0.5)
        handle = await client.start_workflow("gated", "local", id=unique(), task_queue=queue)
        await handle.result()
        run = await tables.run_in(handle.id, "completed", seconds=10)
        assert run["governed"] is True


async def test_f17_a_reset_removes_its_base_from_the_inbox_long_before_any_sweep(
    settings: Settings, client: Client, queue: str, tables: Tables, governance: Governance
) -> None:
    """The worker touches the fork but doesn't know that the base has ended; the fork's history names the base."""
    async with projecting(settings, sweep=600, check=600):
        await asyncio.sleep(0.5)
        handle = await client.start_workflow("gated", "refund", id=unique(), task_queue=queue)
        await governance.pending(handle)
        query = "SELECT a.* FROM approvals AS a JOIN runs AS r USING (run_id) WHERE r.workflow_id = $1 AND decidable"
        (approval,) = await until(lambda: tables.rows(query, handle.id))
        fork = await reset(client, handle, (await completed_tasks(handle))[0])

        async def pending() -> bool:
            approvals = await tables.rows(query, handle.id)
            return [row["execution_id"] for row in approvals] == [fork.run_id]

        await until(pending, seconds=10)
        (base,) = await tables.rows("SELECT * FROM approvals WHERE approval_id = $1", approval["approval_id"])
        assert (base["status"], base["decided_by"]) == ("cancelled", None)


async def test_malformed_decision_signals_are_recorded_as_refused_and_have_no_effect(
    projector: asyncio.Task[None], client: Client, queue: str, tables: Tables, governance: Governance
) -> None:
    handle = await client.start_workflow("gated", "refund", id=unique(), task_queue=queue)
    (terms,) = await governance.pending(handle)
    for payloads in (Payloads(), Payloads(payloads=[to_payload("junk")])):
        await client.workflow_service.signal_workflow_execution(
            service.SignalWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id),
                signal_name=SIGNAL_DECIDE,
                input=payloads,
                identity="reviewer",
            )
        )
    await governance.send(handle, governance.decide(terms))
    await handle.result()
    run = await tables.run_in(handle.id, "completed")
    judged = await tables.rows(
        "SELECT judged, reason, identity FROM decisions WHERE run_id = $1 ORDER BY event_id", run["run_id"]
    )
    assert [row["judged"] for row in judged] == ["refused", "refused", "counted"]
    assert judged[0]["identity"] == "reviewer"
    assert json.dumps(judged)
